/** Temporary directories of tests: each its own, gone when the process ends. */
import { spawnSync } from "node:child_process";
import { existsSync, statfsSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setRawXattr } from "#test/support/raw-files.ts";

const made: string[] = [];

/** A new empty directory whose name starts with `name`. `COSTOR_TEST_SCRATCH` moves all of them, to a larger disk say. */
export async function scratchDirectory(name: string): Promise<string> {
  const parent = process.env["COSTOR_TEST_SCRATCH"] ?? tmpdir();
  await mkdir(parent, { recursive: true });
  const path = await mkdtemp(join(parent, `costor-${name}-`));
  made.push(path);
  return path;
}

const MEMORY = "/dev/shm";

/**
 * As {@link scratchDirectory}, in memory where that has `roomBytes` free and keeps attributes: disks make hundreds of
 * thousands of files slowly.
 */
export async function quickScratchDirectory(name: string, roomBytes: number): Promise<string> {
  const room = existsSync(MEMORY) ? statfsSync(MEMORY) : undefined;
  if (!room || room.bavail * room.bsize < roomBytes) return scratchDirectory(name);
  const path = await mkdtemp(join(MEMORY, `costor-${name}-`));
  made.push(path);
  if (setRawXattr(Buffer.from(path), "user.costor", Buffer.from("probe"))) return path;
  return scratchDirectory(name);
}

/** Removes trees that Node cannot: names that are not UTF-8, paths past PATH_MAX, directories closed to their owner. */
export function removeTrees(paths: readonly string[]): void {
  const remove = () => spawnSync("rm", ["-rf", "--one-file-system", "--", ...paths], { encoding: "utf8" });
  if (remove().status === 0) return;
  spawnSync("chmod", ["-R", "u+rwX", "--", ...paths], { stdio: "ignore" });
  const second = remove();
  if (second.status !== 0) process.stderr.write(`could not remove the scratch directories: ${second.stderr}\n`);
}

process.on("exit", () => {
  if (made.length > 0) removeTrees(made);
});
