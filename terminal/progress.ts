/**
 * Progress of a long command, on stderr: a bar with rate and remaining time on a terminal, a plain line every ten
 * seconds elsewhere, nothing with --json.
 */
import type { SingleBar } from "cli-progress";
import { formatBytes, formatCountOf, formatDuration, formatRate } from "./quantities.ts";

export interface ProgressState {
  readonly doneBytes: number;
  /** Left out while it is not known: then there is no bar and no remaining time. */
  readonly totalBytes?: number;
  readonly doneFiles?: number;
}

export interface Progress extends Disposable {
  /** Cheap enough to call for every file: it draws at most ten times a second. */
  update(state: ProgressState): void;
  /** Takes the bar away. Also when the command failed. */
  end(): void;
}

export interface ProgressInit {
  /** What is going on: "Backing up". */
  readonly title: string;
  readonly json: boolean;
  readonly stream?: NodeJS.WriteStream;
  /** A monotonic clock in milliseconds. */
  readonly nowMs?: () => number;
}

const drawIntervalMs = 100;
const lineIntervalMs = 10_000;
/** The rate is that of about the last five seconds. */
const rateWindowMs = 5_000;

export async function createProgress(init: ProgressInit): Promise<Progress> {
  const stream = init.stream ?? process.stderr;
  const nowMs = init.nowMs ?? (() => performance.now());
  if (init.json) return { update() {}, end() {}, [Symbol.dispose]() {} };
  const meter = createMeter(nowMs);
  if (!stream.isTTY) return plainProgress(init.title, stream, meter, nowMs);

  // A CommonJS package: only its default export holds all of it.
  const { SingleBar, Format } = (await import("cli-progress")).default;
  let line: ProgressLine = { state: { doneBytes: 0 }, text: init.title };
  const bar: SingleBar = new SingleBar({
    stream,
    hideCursor: true,
    clearOnComplete: true,
    fps: 1000 / drawIntervalMs,
    barsize: 24,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    format: (options, parameters) =>
      line.state.totalBytes === undefined
        ? line.text
        : `${Format.BarFormat(parameters.progress, options)} ${line.text}`,
  });
  bar.start(1, 0);
  let drawnMs = -Infinity;
  const end = () => bar.stop();
  return {
    update(state) {
      meter.add(state.doneBytes);
      if (nowMs() - drawnMs < drawIntervalMs) return;
      drawnMs = nowMs();
      line = { state, text: describeProgress(init.title, state, meter.bytesPerSecond()) };
      bar.setTotal(Math.max(1, state.totalBytes ?? 1));
      bar.update(Math.min(state.doneBytes, Math.max(1, state.totalBytes ?? 1)));
    },
    end,
    [Symbol.dispose]: end,
  };
}

interface ProgressLine {
  readonly state: ProgressState;
  readonly text: string;
}

function plainProgress(title: string, stream: NodeJS.WriteStream, meter: Meter, nowMs: () => number): Progress {
  let writtenMs = nowMs();
  return {
    update(state) {
      meter.add(state.doneBytes);
      if (nowMs() - writtenMs < lineIntervalMs) return;
      writtenMs = nowMs();
      stream.write(`${describeProgress(title, state, meter.bytesPerSecond())}\n`);
    },
    end() {},
    [Symbol.dispose]() {},
  };
}

/** `Backing up: 1.20 GB of 3.00 GB (40 %), 1,234 files, 45.0 MB/s, 40 s left`. */
export function describeProgress(title: string, state: ProgressState, bytesPerSecond: number): string {
  const { doneBytes, totalBytes, doneFiles } = state;
  const parts = [formatBytes(doneBytes)];
  if (totalBytes !== undefined) {
    const percent = totalBytes === 0 ? 100 : Math.min(100, Math.floor((doneBytes / totalBytes) * 100));
    parts[0] += ` of ${formatBytes(totalBytes)} (${percent} %)`;
  }
  if (doneFiles !== undefined) parts.push(formatCountOf(doneFiles, "file"));
  parts.push(formatRate(bytesPerSecond));
  if (totalBytes !== undefined && bytesPerSecond > 0 && totalBytes > doneBytes) {
    parts.push(`${formatDuration(Math.max(1000, ((totalBytes - doneBytes) / bytesPerSecond) * 1000))} left`);
  }
  return `${title}: ${parts.join(", ")}`;
}

export interface Meter {
  add(doneBytes: number): void;
  bytesPerSecond(): number;
}

/** The rate over a sliding window, from samples at least a drawing interval apart. */
export function createMeter(nowMs: () => number): Meter {
  const samples = [{ atMs: nowMs(), doneBytes: 0 }];
  return {
    add(doneBytes) {
      const atMs = nowMs();
      const last = samples.at(-1)!;
      if (atMs - last.atMs < drawIntervalMs && samples.length > 1)
        samples[samples.length - 1] = { atMs: last.atMs, doneBytes };
      else samples.push({ atMs, doneBytes });
      while (samples.length > 2 && atMs - samples[1]!.atMs >= rateWindowMs) samples.shift();
    },
    bytesPerSecond() {
      const first = samples[0]!;
      const last = samples.at(-1)!;
      const elapsedMs = last.atMs - first.atMs;
      return elapsedMs <= 0 ? 0 : ((last.doneBytes - first.doneBytes) / elapsedMs) * 1000;
    },
  };
}
