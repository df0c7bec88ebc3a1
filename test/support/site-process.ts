/** `costor site …` as processes of their own, the way people and scripts run it. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { runtimeFlags } from "#test/support/runtime-flags.ts";

const program = join(import.meta.dirname, "../../costor.ts");

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  json<T = unknown>(): T;
}

export function startCommand(words: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  return spawn(process.execPath, [...runtimeFlags, program, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
}

/** Runs a command to its end. */
export async function runCommand(...words: string[]): Promise<CommandResult> {
  const child = startCommand(words);
  const [stdout, stderr] = [child.stdout!, child.stderr!].map((stream) => stream.setEncoding("utf8").toArray());
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const out = (await stdout!).join("");
  return { code, stdout: out, stderr: (await stderr!).join(""), json: <T>() => JSON.parse(out) as T };
}

export interface ReadyLine {
  readonly siteId: string;
  readonly siteName: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly addresses: readonly string[];
  readonly kitConfirmed: boolean;
}

export interface SiteProcess {
  readonly pid: number;
  readonly ready: ReadyLine;
  stderr(): string;
  /** Sends `signal` and waits for the end; the exit code, or the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** A site on `dataDirectory` that is ready. Fails with its stderr when it ends before. */
export async function startSiteProcess(dataDirectory: string, ...words: string[]): Promise<SiteProcess> {
  const child = startCommand(["site", "start", "--data", dataDirectory, "--listen", "127.0.0.1:0", "--json", ...words]);
  let errors = "";
  child.stderr!.setEncoding("utf8").on("data", (piece: string) => (errors += piece));
  const ended = new Promise<number | string>((resolve) =>
    child.once("close", (code, signal) => resolve(code ?? signal!)),
  );
  const lines = createInterface({ input: child.stdout! });
  const first = await Promise.race([new Promise<string>((resolve) => lines.once("line", resolve)), ended]);
  if (typeof first !== "string" || !first.startsWith("{")) throw new Error(`the site ended with ${first}: ${errors}`);
  return {
    pid: child.pid!,
    ready: JSON.parse(first) as ReadyLine,
    stderr: () => errors,
    stop: async (signal = "SIGTERM") => {
      child.kill(signal);
      return ended;
    },
  };
}
