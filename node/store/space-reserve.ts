/**
 * Keeps room for metadata, for deleting and for the index: primes are refused while less than the reserve is free. Two
 * files hold part of it back from other programs too. `reserve` is given up when metadata finds the disk full, and
 * `opening-reserve` only for Level to be opened, which afterwards has given back what it took, so that it is made again: a
 * store that was opened once opens again and again on a disk that others have filled to the last byte.
 */
import { randomBytes } from "node:crypto";
import { isCostorError } from "#protocol/errors.ts";
import { type Disk, type DiskSpace, hasErrorCode, isNoSpace } from "./disk.ts";
import type { GroupRoom } from "./group-plan.ts";
import { isForWantOfSpace } from "./level-handle.ts";

export interface SpaceReserveInit {
  readonly segmentBytes: number;
  /** Largest size of `reserve`; 0 for neither file. */
  readonly fileBytes: number;
}

const reserveFile = "reserve";
const openingFile = "opening-reserve";
/** Level writes anew what its log holds, at most the 4 MiB of its write buffer, a manifest, and tables with what came late. */
const openingFileBytes = 6 * 1024 * 1024;
const leastOpeningFileBytes = 128 * 1024;
/** Each file takes at most this part of the disk. */
const fileShare = 1 / 64;
/** The reserve takes at most this part, so that a small disk still holds something. */
const reserveShare = 1 / 8;
/** `reserve` is made only while so many times its size is free. */
const fileSlackCount = 8;
/** This part of the reserve is kept from agents' facts and claims too: for deleting, revoking, and finding damage. */
const lastShare = 1 / 2;
const pieceBytes = 1024 * 1024;

export class SpaceReserve {
  readonly #disk: Disk;
  readonly #init: SpaceReserveInit;
  #hasFile = false;
  #hasOpeningFile = false;
  readonly #givenUp = new Set<string>();

  constructor(components: { disk: Disk }, init: SpaceReserveInit) {
    this.#disk = components.disk;
    this.#init = init;
  }

  /** What must stay free of a disk of `totalBytes`. */
  reserveBytes(totalBytes: number, indexBytes: number): number {
    const wanted = 2 * this.#init.segmentBytes + 2 * indexBytes + totalBytes / 100;
    return Math.ceil(Math.min(wanted, totalBytes * reserveShare));
  }

  async room(indexBytes: number): Promise<GroupRoom> {
    const { freeBytes, totalBytes } = await this.#disk.space();
    const reserveBytes = this.reserveBytes(totalBytes, indexBytes);
    return {
      primesBytes: freeBytes - reserveBytes,
      agentsBytes: freeBytes - Math.ceil(reserveBytes * lastShare),
    };
  }

  /**
   * Makes the files: `reserve` when there is ample room, `opening-reserve` when it fits whole, and what was given up for
   * opening. Never fails for want of room.
   */
  async fill(): Promise<void> {
    if (this.#init.fileBytes === 0 || (this.#hasFile && this.#hasOpeningFile)) return;
    await this.#takeBack();
    const space = await this.#disk.space();
    if (!this.#hasOpeningFile) {
      const missingBytes = openingBytes(space) - (await this.#sizeBytes(openingFile));
      if (missingBytes <= space.freeBytes) await this.fillForOpening().catch(ignoreNoSpace);
    }
    const fileBytes = this.#fileBytes(space);
    if (this.#hasFile || space.freeBytes < fileBytes * fileSlackCount) return;
    try {
      await this.#extend(reserveFile, fileBytes);
      this.#hasFile = true;
    } catch (error) {
      ignoreNoSpace(error);
      await this.release();
    }
  }

  /** Makes `opening-reserve`, or as much of it as there is room for, which then fails with ENOSPC. */
  async fillForOpening(): Promise<void> {
    if (this.#init.fileBytes === 0 || this.#hasOpeningFile) return;
    await this.#extend(openingFile, openingBytes(await this.#disk.space()));
    this.#hasOpeningFile = true;
  }

  /** Gives the space of `reserve` up. */
  async release(): Promise<void> {
    this.#hasFile = false;
    await this.#unlink(reserveFile);
  }

  /**
   * Opens Level, once more on the room that was kept for it when there is no other, and only then on that for metadata.
   * `fill` takes again what is left of either.
   */
  async opening<T>(open: () => Promise<T>): Promise<T> {
    const isFull = (error: unknown) => isForWantOfSpace(error) || isCostorError(error, "store-full");
    try {
      return await open();
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    try {
      await this.#giveUp(openingFile);
      return await open().catch(async (error: unknown) => {
        if (!isFull(error)) throw error;
        await this.#giveUp(reserveFile);
        return open();
      });
    } catch (error) {
      await this.#takeBack();
      throw error;
    }
  }

  async #giveUp(path: string): Promise<void> {
    if ((await this.#sizeBytes(path)) === 0) return;
    this.#givenUp.add(path);
    await this.#unlink(path);
  }

  /** Makes what was given up for opening again, as much of it as there is room for. */
  async #takeBack(): Promise<void> {
    if (this.#givenUp.size === 0) return;
    const space = await this.#disk.space();
    if (this.#givenUp.has(openingFile)) await this.#extend(openingFile, openingBytes(space)).catch(ignoreNoSpace);
    if (this.#givenUp.has(reserveFile)) await this.#extend(reserveFile, this.#fileBytes(space)).catch(ignoreNoSpace);
    this.#givenUp.clear();
  }

  #fileBytes({ totalBytes }: DiskSpace): number {
    return Math.floor(Math.min(this.#init.fileBytes, totalBytes * fileShare));
  }

  async #sizeBytes(path: string): Promise<number> {
    try {
      const file = await this.#disk.openRead(path);
      return await file.sizeBytes().finally(() => file.close());
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw error;
      return 0;
    }
  }

  /** Lengthens a file, which need not exist, with bytes that no file system keeps in less room than they have. */
  async #extend(path: string, lengthBytes: number): Promise<void> {
    const file = await this.#disk.openWrite(path).catch((error) => {
      if (!hasErrorCode(error, "ENOENT")) throw error;
      return this.#disk.create(path);
    });
    try {
      for (let at = await file.sizeBytes(); at < lengthBytes; at += pieceBytes)
        await file.write([randomBytes(Math.min(pieceBytes, lengthBytes - at))], at);
    } finally {
      await file.close();
    }
  }

  async #unlink(path: string): Promise<void> {
    try {
      await this.#disk.unlink(path);
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw error;
    }
  }
}

function openingBytes({ totalBytes }: DiskSpace): number {
  return Math.floor(Math.min(openingFileBytes, Math.max(leastOpeningFileBytes, totalBytes * fileShare)));
}

function ignoreNoSpace(error: unknown): void {
  if (!isNoSpace(error)) throw error;
}
