/** `./costor` as child processes of a script: commands that end, and the site that stays. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { CostorError, type ErrorCode, errorRegistry } from "#protocol/errors.ts";

export const costorPath = resolve(import.meta.dirname, "../costor");

/** What `costor site start --json` prints when it is ready. */
export interface SiteReady {
  readonly siteName: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly kitConfirmed: boolean;
}

export interface RunningSite extends AsyncDisposable {
  readonly ready: SiteReady;
  readonly pid: number;
  /** As by a power cut. Resolves when it has ended. */
  kill(): Promise<void>;
  /** Throws when the site has ended: the reason of the signal, or why it ended by itself. */
  ended(): Promise<never>;
}

export interface SiteSettings {
  readonly data: string;
  readonly listen: string;
  readonly kit?: string | undefined;
  /** Brings it back with the kit, in place of starting it. */
  readonly recovers?: true | undefined;
  readonly name?: string | undefined;
  /** Further ones of `costor site start`. */
  readonly parameters?: readonly string[] | undefined;
  /** Beside that of this process. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Takes lines of its log instead of this terminal. */
  readonly onLog?: ((line: string) => void) | undefined;
}

/** A command failed and has said why on this terminal. */
export class CommandFailed extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`the command ended with ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/**
 * Runs a command whose output goes to this terminal. Exit code 3, some files unreadable, is no failure here.
 * Throws {@link CommandFailed}.
 */
export async function runCostor(parameters: readonly string[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const code = await exitCodeOf(spawn(costorPath, parameters, { stdio: ["ignore", "inherit", "inherit"] }), signal);
  if (code !== 0 && code !== 3) throw new CommandFailed(code);
}

/**
 * Runs a command with --json and gives its result; its error is thrown with its code. Exit code 3, some files unreadable, is
 * no failure here. What it says before its result goes to `onProgress`.
 */
export async function runCostorJson<Result>(
  parameters: readonly string[],
  signal: AbortSignal,
  onProgress?: (value: unknown) => void,
): Promise<Result> {
  signal.throwIfAborted();
  const child = spawn(costorPath, [...parameters, "--json"], { stdio: ["ignore", "pipe", "pipe"] });
  let [result, stderr] = ["", ""];
  createInterface({ input: child.stdout }).on("line", (line) => {
    result = line;
    if (onProgress !== undefined) onProgress(JSON.parse(line));
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await exitCodeOf(child, signal);
  if (code !== 0 && code !== 3) throw reportedError(lastLine(stderr)) ?? new CostorError("internal", stderr);
  return JSON.parse(result) as Result;
}

const lastLine = (text: string): string => text.trimEnd().split("\n").at(-1)!;

/** The error that a command run with --json has printed as this line of stderr; undefined when it is none. */
function reportedError(line: string): CostorError | undefined {
  if (!line.startsWith('{"error":')) return undefined;
  const { error } = JSON.parse(line) as { error: { code: string; message: string } };
  return new CostorError(
    Object.hasOwn(errorRegistry, error.code) ? (error.code as ErrorCode) : "internal",
    error.message,
  );
}

/** Ends the command when the signal is aborted, and throws the signal's reason then. A signal counts as 1. */
async function exitCodeOf(child: ChildProcess, signal: AbortSignal): Promise<number> {
  const stop = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  try {
    const [code] = (await once(child, "close")) as [number | null];
    signal.throwIfAborted();
    return code ?? 1;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Starts a site and waits until it is ready. Its log, and the recovery kit of a first start, go to this terminal. */
export async function startSite(settings: SiteSettings, signal: AbortSignal): Promise<RunningSite> {
  signal.throwIfAborted();
  const parameters = [
    "site",
    settings.recovers ? "recover" : "start",
    "--data",
    settings.data,
    "--listen",
    settings.listen,
    "--log-level",
    "error",
    "--json",
  ];
  if (settings.kit !== undefined) parameters.push("--kit", settings.kit);
  if (settings.name !== undefined) parameters.push("--name", settings.name);
  parameters.push(...(settings.parameters ?? []));
  const env = { ...process.env, ...settings.environment };
  const child = spawn(costorPath, parameters, { stdio: ["ignore", "pipe", "pipe"], env });
  const stop = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  let reported: CostorError | undefined;
  const onLog = settings.onLog ?? ((line: string) => void process.stderr.write(`${line}\n`));
  createInterface({ input: child.stderr }).on("line", (line) => {
    reported = reportedError(line);
    if (reported === undefined) onLog(line);
  });
  const atExit = (): void => void child.kill("SIGKILL");
  process.once("exit", atExit);
  const closed = once(child, "close") as Promise<[number | null]>;
  void closed.then(() => {
    process.off("exit", atExit);
    signal.removeEventListener("abort", stop);
  });
  const ended = closed.then(([code]): never => {
    signal.throwIfAborted();
    throw reported ?? new CommandFailed(code || 1);
  });
  ended.catch(() => {});
  const { promise, resolve: onReady } = Promise.withResolvers<SiteReady>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const said = JSON.parse(line) as Partial<SiteReady> & { readonly ready?: true };
    if (said.ready) onReady(said as SiteReady);
  });
  return {
    ready: await Promise.race([promise, ended]),
    pid: child.pid!,
    ended: () => ended,
    async kill() {
      child.kill("SIGKILL");
      await closed;
    },
    async [Symbol.asyncDispose]() {
      stop();
      await closed;
    },
  };
}
