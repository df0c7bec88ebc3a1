/** A file system of a chosen size, in memory, that can grow; only root can have one. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "#test/support/scratch.ts";

export interface DiskSize {
  readonly sizeBytes: number;
  /** Files and directories; no limit by default. */
  readonly inodesCount?: number;
}

const mounted = new Set<string>();
process.on("exit", () => {
  for (const path of mounted) spawnSync("umount", ["-l", path]);
});

const optionsOf = ({ sizeBytes, inodesCount = 0 }: DiskSize): string =>
  `size=${Math.ceil(sizeBytes)},nr_inodes=${inodesCount}`;

export class SmallDisk implements Disposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Why this machine lets nobody have one; undefined when it does. */
  static async refusal(): Promise<string | undefined> {
    if (process.geteuid?.() !== 0) return "only root can mount a file system of a limited size";
    const path = await scratchDirectory("disk");
    const { status, stderr, error } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=65536", "costor-test", path]);
    if (status !== 0) return `no tmpfs can be mounted: ${error?.message ?? stderr.toString().trim()}`;
    spawnSync("umount", [path]);
    return undefined;
  }

  static async mount(size: DiskSize): Promise<SmallDisk> {
    const path = await scratchDirectory("disk");
    run("mount", ["-t", "tmpfs", "-o", optionsOf(size), "costor-test", path]);
    mounted.add(path);
    return new SmallDisk(path);
  }

  resize(size: DiskSize): void {
    run("mount", ["-o", `remount,${optionsOf(size)}`, this.path]);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  get usedBytes(): number {
    const { blocks, bfree, bsize } = statfsSync(this.path);
    return (blocks - bfree) * bsize;
  }

  /** Takes `lengthBytes` as another program would, or all that there is. */
  takeSpace(lengthBytes = Infinity): void {
    const file = openSync(this.ballast, "a");
    const piece = Buffer.alloc(64 * 1024);
    try {
      for (let left = lengthBytes; left > 0; left -= piece.length) {
        writeSync(file, piece, 0, Math.min(piece.length, left));
      }
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  giveSpaceBack(): void {
    rmSync(this.ballast, { force: true });
  }

  [Symbol.dispose](): void {
    run("umount", ["-l", this.path]);
    mounted.delete(this.path);
  }

  private get ballast(): string {
    return join(this.path, "ballast");
  }
}

function run(command: string, parameters: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, parameters, { encoding: "utf8" });
  if (status !== 0) throw error ?? new Error(stderr);
}
