/** `costor site scrub`: how far the reading of the store is, and what people decide about it. */
import type { Command } from "commander";
import type { CheckProgress } from "#node/store/prime-store.ts";
import type { ScrubStatus } from "#node/site/scrubber.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes, formatCountOf, formatDuration } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";
import { parseSize } from "./size-option.ts";

interface ScrubOptions extends DataOptions {
  readonly status?: true;
  readonly now?: true;
  readonly rate?: string;
  readonly pause?: true | string;
  readonly resume?: true;
}

export function addScrubCommand(site: Command): void {
  onData(site, "scrub", "how far the store is read and verified; without an option it only tells")
    .option("--status", "tell how far it is")
    .option("--now", "read everything now, at full speed; Ctrl-C ends it")
    .option("--rate <size>", "bytes a second, such as 20MB; auto: everything within 28 days")
    .option("--pause [hours]", "read nothing for so long, at most 24 hours")
    .option("--resume", "end a pause")
    .action(scrub);
}

async function scrub(options: ScrubOptions): Promise<void> {
  const { data, json, now, rate, pause, resume } = options;
  if ([now, rate, pause, resume, options.status].filter((option) => option !== undefined).length > 1)
    throw new CostorError("bad-usage", "give one of --status, --now, --rate, --pause and --resume");
  const change = {
    ...(rate === undefined ? {} : { rate: rate === "auto" ? null : parseSize("--rate", rate) }),
    ...(pause === undefined ? {} : { pausedForMs: pauseOf(pause) }),
    ...(resume === undefined ? {} : { pausedForMs: 0 }),
  };
  const status = now
    ? await passNow(data, json === true)
    : await (Object.keys(change).length > 0 ? callOn(data, "scrubChange", change) : callOn(data, "scrub", {}));
  if (json) return printJson(status);
  for (const line of scrubLines(status)) printLine(line);
}

async function passNow(data: string, json: boolean): Promise<ScrubStatus> {
  using progress = await createProgress({ title: "Reading", json });
  return callOn(data, "scrubNow", {}, (state) => progress.update(state as CheckProgress));
}

const HOUR_MS = 3600_000;

function pauseOf(text: true | string): number {
  if (text === true) return 24 * HOUR_MS;
  const hours = Number(text);
  if (!(hours > 0 && hours <= 24)) throw new CostorError("bad-usage", `--pause ${text}: up to 24 hours are expected`);
  return Math.ceil(hours * HOUR_MS);
}

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace("T", " ");

/** What a person is told of the scrub. */
export function scrubLines(status: ScrubStatus): string[] {
  const { state, readBytes, totalBytes, rate, last, broken, findingsCount } = status;
  const percent = totalBytes === 0 ? 0 : Math.min(100, Math.floor((readBytes / totalBytes) * 100));
  const lines: string[] = [];
  if (state === "waiting") lines.push(`Scrub: the next pass begins at ${dayOf(status.startedMs)} UTC`);
  else {
    const leftMs = Math.max(0, status.endsMs - Date.now());
    const found = findingsCount === 0 ? "no damage" : `${formatCountOf(findingsCount, "finding")}`;
    const pause = state === "paused" ? `paused until ${dayOf(status.pausedUntilMs)} UTC; ` : "";
    const at = rate === null ? "" : `, at most ${formatBytes(rate)} a second`;
    lines.push(
      `Scrub: ${pause}${formatBytes(readBytes)} of ${formatBytes(totalBytes)} read (${percent} %), ${found}${at}; ends in ${formatDuration(leftMs)}`,
    );
  }
  if (last === null) lines.push("No full pass has ended yet.");
  else
    lines.push(
      `Last full pass: ended ${dayOf(last.endedMs)} UTC, ${formatBytes(last.readBytes)}, ${last.findingsCount === 0 ? "no damage" : formatCountOf(last.findingsCount, "finding")}${last.wasIndexRight ? "" : "; the index was wrong and was made anew"}`,
    );
  for (const { agent, snapshot, missingCount } of broken)
    lines.push(
      `Not whole: snapshot ${snapshot} of agent ${agent}, ${formatCountOf(missingCount, "prime")} missing or more`,
    );
  return lines;
}
