/**
 * Keeps room for metadata, for deleting and for the index: primes are refused while less than the reserve is free. A
 * file of zeros holds part of it back from other programs too; it is given up when metadata finds the disk full.
 */
import { type Disk, hasErrorCode, isNoSpace } from "./disk.ts";

export interface SpaceReserveInit {
  readonly segmentBytes: number;
  /** Largest size of the file; 0 for none. */
  readonly fileBytes: number;
}

const reserveFile = "reserve";
/** The file takes at most this part of the disk. */
const fileShare = 1 / 64;
/** The reserve takes at most this part, so that a small disk still holds something. */
const reserveShare = 1 / 8;
/** The file is made only while so many times its size is free. */
const fileSlackCount = 8;
const pieceBytes = 1024 * 1024;

export class SpaceReserve {
  readonly #disk: Disk;
  readonly #init: SpaceReserveInit;
  #hasFile = false;

  constructor(components: { disk: Disk }, init: SpaceReserveInit) {
    this.#disk = components.disk;
    this.#init = init;
  }

  /** What must stay free of a disk of `totalBytes`. */
  reserveBytes(totalBytes: number, indexBytes: number): number {
    const wanted = 2 * this.#init.segmentBytes + 2 * indexBytes + totalBytes / 100;
    return Math.ceil(Math.min(wanted, totalBytes * reserveShare));
  }

  /** What new primes may take. */
  async roomBytes(indexBytes: number): Promise<number> {
    const { freeBytes, totalBytes } = await this.#disk.space();
    return freeBytes - this.reserveBytes(totalBytes, indexBytes);
  }

  /** Makes the file when there is ample room. Never fails for want of it. */
  async fill(): Promise<void> {
    if (this.#hasFile || this.#init.fileBytes === 0) return;
    const { freeBytes, totalBytes } = await this.#disk.space();
    const fileBytes = Math.floor(Math.min(this.#init.fileBytes, totalBytes * fileShare));
    this.#hasFile = (await this.#sizeBytes()) === fileBytes;
    if (this.#hasFile || freeBytes < fileBytes * fileSlackCount) return;
    const file = await this.#disk.create(reserveFile);
    try {
      for (let at = 0; at < fileBytes; at += pieceBytes)
        await file.write([Buffer.alloc(Math.min(pieceBytes, fileBytes - at))], at);
      this.#hasFile = true;
    } catch (error) {
      if (!isNoSpace(error)) throw error;
    } finally {
      await file.close();
    }
    if (!this.#hasFile) await this.release();
  }

  async #sizeBytes(): Promise<number | undefined> {
    try {
      const file = await this.#disk.openRead(reserveFile);
      return await file.sizeBytes().finally(() => file.close());
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Gives the file's space up. */
  async release(): Promise<void> {
    this.#hasFile = false;
    try {
      await this.#disk.unlink(reserveFile);
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw error;
    }
  }
}
