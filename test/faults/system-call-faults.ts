/** Failing system calls of a process, by strace: the n-th call of a name on a path gets an error and is not made. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface PlacedCall {
  readonly call: string;
  /** Undefined: on any path. strace counts per thread then. */
  readonly path: string | undefined;
  /** From 1. */
  readonly number: number;
}

export interface CallFault extends PlacedCall {
  readonly error: "EIO" | "ENOSPC";
}

const changingCalls = [
  "pwritev",
  "pwrite64",
  "write",
  "fdatasync",
  "fsync",
  "rename",
  "openat",
  "unlink",
  "ftruncate",
  "mkdir",
];

/** All file calls on one thread of libuv, so that they come in the same order each time. */
export const tracedEnvironment: NodeJS.ProcessEnv = { UV_THREADPOOL_SIZE: "1", UV_USE_IO_URING: "0" };

// -D: the program stays the child of whoever started it, and gets its signals.
const strace = (logFile: string): string[] => ["strace", "-D", "-f", "-qqq", "-o", logFile];

/** Why nothing can be traced here; undefined when it can. */
export function traceRefusal(): string | undefined {
  const { status, stderr, error } = spawnSync("strace", [
    "-f",
    "-qqq",
    "-o",
    "/dev/null",
    "-e",
    "inject=sync:error=EIO",
    "true",
  ]);
  if (error !== undefined) return `no strace: ${error.message} (apt-get install strace)`;
  return status === 0 ? undefined : `strace cannot trace here: ${stderr.toString().trim()}`;
}

export const underRecording = (logFile: string): string[] => [
  ...strace(logFile),
  "-y",
  "-e",
  `trace=${changingCalls.join(",")}`,
];

export const underFault = ({ call, path, number, error }: CallFault, logFile: string): string[] => [
  ...strace(logFile),
  ...(path === undefined ? [] : ["-P", path]),
  "-e",
  `trace=${call}`,
  "-e",
  `inject=${call}:error=${error}:when=${number}`,
];

/** The calls of a recording on paths below `directory`, each with its number for its name and path. */
export function callsBelow(directory: string, logFile: string): PlacedCall[] {
  const counts = new Map<string, number>();
  const calls: PlacedCall[] = [];
  for (const line of readFileSync(logFile, "latin1").split("\n")) {
    const call = /^\d+\s+(\w+)\(/.exec(line)?.[1];
    if (call === undefined) continue;
    // The first path of a call on a descriptor or a name: "fd</path>" or "/path".
    const found = /[<"](\/[^>"]*)[>"]/g;
    const paths = [...line.matchAll(found)].map((match) => match[1]!).filter((path) => path.startsWith(directory));
    const path = paths[0];
    if (path === undefined) continue;
    const key = `${call} ${path}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    calls.push({ call, path, number: counts.get(key)! });
  }
  return calls;
}

/** Whether the fault was met. strace writes on for a moment after the program has ended. */
export async function wasMet(logFile: string): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    if (readFileSync(logFile, "latin1").includes("(INJECTED)")) return true;
    await sleep(25);
  }
  return false;
}
