/**
 * The folders of finished trials, removed as seldom as the disk allows.
 *
 * On ext4, creating a file costs several times more for a minute after many files were deleted: the kernel looks
 * for an inode that was not deleted recently. A restore timed after the removal of an earlier one would measure that.
 * So the folders stay until the disk gets full, and after each removal the disk has time to forget.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** What a trial may need: the large file restored, its store, and twice that to spare. */
const wantedFreeBytes = 25e9;
/** Longer than the 60 s for which ext4 takes a deletion as recent, once it is on the disk. */
const defaultSettleMs = 65_000;

export class Leftovers {
  readonly #folder: string;
  readonly #settleMs: number;

  constructor(folder: string, settleMs = defaultSettleMs) {
    this.#folder = folder;
    this.#settleMs = settleMs;
  }

  /** A new empty folder for one trial; makes room first when there is too little. */
  async newFolder(name: string): Promise<string> {
    const path = join(this.#folder, name);
    await mkdir(this.#folder, { recursive: true });
    const { bavail, bsize } = await statfs(this.#folder);
    if (bavail * bsize < wantedFreeBytes || existsSync(path)) await this.clear();
    await mkdir(path, { recursive: true });
    return path;
  }

  /** Removes all folders, and waits until the disk has settled unless nothing is measured afterwards. */
  async clear({ isLast = false } = {}): Promise<void> {
    const names = existsSync(this.#folder) ? await readdir(this.#folder) : [];
    if (names.length === 0) return;
    await rm(this.#folder, { recursive: true });
    if (isLast) return;
    execFileSync("sync");
    await sleep(this.#settleMs);
  }
}
