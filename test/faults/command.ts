/** `costor …` as a process that a test starts, wraps, stops and kills; none of them outlives the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { runtimeFlags } from "#test/support/runtime-flags.ts";

const program = join(import.meta.dirname, "../../costor.ts");

export interface CommandInit {
  readonly env?: NodeJS.ProcessEnv;
  /** Another program with its parameters that runs the command: strace, faketime. */
  readonly under?: readonly string[];
}

export interface CommandEnd {
  /** The exit code, or the signal that ended it. */
  readonly code: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
  json<T = unknown>(): T;
  /** The code of the error that it printed, with --json or without; undefined for none. */
  errorCode(): string | undefined;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<CommandEnd>;
  kill(signal: NodeJS.Signals): void;
  stderr(): string;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export function startCommand(words: readonly string[], init: CommandInit = {}): RunningCommand {
  const [file, ...parameters] = [...(init.under ?? []), process.execPath, ...runtimeFlags, program, ...words];
  return startProgram(file!, parameters, init.env);
}

/** Any program, kept track of in the same way. */
export function startProgram(file: string, parameters: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand {
  const child = spawn(file, parameters, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  running.add(child);
  let [stdout, stderr] = ["", ""];
  child.stdout!.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<CommandEnd>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      running.delete(child);
      resolve({
        code: code ?? signal!,
        stdout,
        stderr,
        json: <T>() => JSON.parse(stdout) as T,
        errorCode: () => errorCodeIn(stderr),
      });
    });
  });
  return { child, pid: child.pid!, ended, kill: (signal) => void child.kill(signal), stderr: () => stderr };
}

export const runCommand = (words: readonly string[], init?: CommandInit): Promise<CommandEnd> =>
  startCommand(words, init).ended;

function errorCodeIn(stderr: string): string | undefined {
  const line = stderr.split("\n").findLast((text) => text.startsWith('{"error":') || text.startsWith("costor: "));
  if (line?.startsWith("{")) return (JSON.parse(line) as { error: { code: string } }).error.code;
  return /^costor: ([a-z-]+): /.exec(line ?? "")?.[1];
}
