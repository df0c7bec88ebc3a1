/** The programs that extract archives in tests, and what they make of an archive. */
import { spawn, spawnSync } from "node:child_process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ExportStream } from "#node/export/export-source.ts";

export interface ToolResult {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export function runTool(command: string, args: readonly string[], cwd?: string): ToolResult {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    maxBuffer: 1 << 30,
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  return { status, stdout: stdout ?? Buffer.alloc(0), stderr: String(stderr ?? "") };
}

/** Runs a program that reads the archive from its standard input. */
export async function pipeInto(
  stream: Pick<ExportStream, "chunks">,
  command: string,
  args: readonly string[],
  cwd?: string,
): Promise<ToolResult> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, LC_ALL: "C.UTF-8" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (piece: Buffer) => stdout.push(piece));
  child.stderr.on("data", (piece: Buffer) => stderr.push(piece));
  const closed = new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  await pipeline(Readable.from(stream.chunks, { objectMode: false }), child.stdin);
  return { status: await closed, stdout: Buffer.concat(stdout), stderr: String(Buffer.concat(stderr)) };
}
