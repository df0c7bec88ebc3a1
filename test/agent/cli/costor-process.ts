/** The launcher `./costor` as a person or a script runs it, and a site that runs in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { scratchDirectory } from "#test/support/scratch.ts";
import { startSiteProcess } from "#test/support/site-process.ts";

const LAUNCHER = fileURLToPath(new URL("../../../costor", import.meta.url));

export interface LaunchOptions {
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** For its standard input. */
  readonly input?: string;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  // oxlint-disable-next-line typescript/no-explicit-any
  json<T = any>(): T;
}

function launch(words: readonly string[], { input, ...options }: LaunchOptions = {}): ChildProcess {
  const child = spawn(LAUNCHER, words, {
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
    ...options,
  });
  child.stdin?.on("error", () => undefined).end(input);
  return child;
}

async function collect(child: ChildProcess): Promise<Ended> {
  let [stdout, stderr] = ["", ""];
  child.stdout!.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr, json: () => JSON.parse(stdout) as never };
}

/** Runs a command to its end. */
export const costor = (words: readonly string[], options?: LaunchOptions): Promise<Ended> =>
  collect(launch(words, options));

/** Starts a command that stays. */
export function startCostor(words: readonly string[]): {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  line(pattern: RegExp): Promise<string>;
} {
  const child = launch(words);
  const ended = collect(child);
  let seen = "";
  child.stdout!.on("data", (text: string) => (seen += text));
  return {
    child,
    ended,
    async line(pattern) {
      for (;;) {
        const found = seen.split("\n").find((line) => pattern.test(line));
        if (found !== undefined) return found;
        const event = await Promise.race([once(child.stdout!, "data"), ended]);
        if (!Array.isArray(event)) throw new Error(`it ended before ${pattern}: ${seen}${event.stderr}`);
      }
    },
  };
}

export interface RestartableSite {
  readonly dataDirectory: string;
  readonly address: string;
  stop(): Promise<void>;
  /** Again, on the same port. */
  start(): Promise<void>;
  enrolToken(name: string): Promise<string>;
}

export async function startRestartableSite(): Promise<RestartableSite> {
  const dataDirectory = await scratchDirectory("site");
  let running = await startSiteProcess(dataDirectory, "--log-level", "warn");
  const { port } = running.ready.listen;
  return {
    dataDirectory,
    address: `127.0.0.1:${port}`,
    async start() {
      running = await startSiteProcess(dataDirectory, "--log-level", "warn", "--listen", `127.0.0.1:${port}`);
    },
    async stop() {
      await running.stop();
    },
    async enrolToken(name) {
      const made = await costor(["site", "enrol-token", "--data", dataDirectory, "--name", name, "--json"]);
      if (made.code !== 0) throw new Error(made.stderr);
      return made.json<{ token: string }>().token;
    },
  };
}
