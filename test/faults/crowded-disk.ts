/** A small disk on which other programs take space and give it back. */
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { mountSmallDisk, type SmallDisk } from "#test/support/small-disk.ts";

export class CrowdedDisk implements AsyncDisposable {
  private readonly disk: SmallDisk;

  private constructor(disk: SmallDisk) {
    this.disk = disk;
  }

  /** `inodesCount`: most files and directories; no limit by default. */
  static async mount(sizeBytes: number, inodesCount = 0): Promise<CrowdedDisk> {
    return new CrowdedDisk(await mountSmallDisk(Math.ceil(sizeBytes), `,nr_inodes=${inodesCount}`));
  }

  get path(): string {
    return this.disk.path;
  }

  /** Also lifts a limit of inodes. */
  resize(sizeBytes: number): void {
    this.disk.resize(Math.ceil(sizeBytes), ",nr_inodes=0");
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disk[Symbol.asyncDispose]();
  }

  private get ballast(): string {
    return join(this.path, "ballast");
  }
}
