/**
 * Reads primes at known places and checks that they are as they were written, by the id in the record's header and the CRC
 * of its body: docs/decisions/checksum-on-reading.md. Keeps a few segment files open.
 */
import { crc32 } from "node:zlib";
import { takeBlock } from "#protocol/spare-blocks.ts";
import { type Disk, type DiskFile, hasErrorCode } from "./disk.ts";
import type { PrimeLocation } from "./index-entries.ts";
import { decodeHeader, recordHeaderBytes, recordKind, type StoreSalt } from "./record.ts";
import { segmentPath } from "./segment-writer.ts";

/**
 * What was found at a place. `elsewhere`: no valid record of this prime is here, so the place or the disk is wrong;
 * `corrupt`: its record is here and the body is damaged; `gone`: the segment is not there.
 */
export type ReadResult = { readonly stored: Buffer } | "elsewhere" | "corrupt" | "gone";

interface OpenSegment {
  readonly file: Promise<DiskFile>;
  usersCount: number;
  isForgotten: boolean;
}

const openFilesCount = 32;

export class SegmentReader {
  readonly #disk: Disk;
  readonly #salt: StoreSalt;
  readonly #open = new Map<number, OpenSegment>();

  constructor(components: { disk: Disk }, init: { salt: StoreSalt }) {
    this.#disk = components.disk;
    this.#salt = init.salt;
  }

  /** Throws what the disk throws. */
  async read(id: Buffer, location: PrimeLocation): Promise<ReadResult> {
    const { segment, offset, bodyBytes } = location;
    const entry = this.#use(segment);
    try {
      const file = await entry.file;
      // Its own memory, not a part of a pool: the proxy hands it from thread to thread.
      const bytes = takeBlock(recordHeaderBytes + bodyBytes);
      const readBytes = await file.read(bytes, offset);
      const header = decodeHeader(bytes.subarray(0, readBytes), this.#salt, { segment, offset });
      if (header?.kind !== recordKind.prime || !header.digest.equals(id) || header.bodyBytes !== bodyBytes)
        return "elsewhere";
      const stored = bytes.subarray(recordHeaderBytes, readBytes);
      return crc32(stored) === header.bodyCrc ? { stored } : "corrupt";
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw error;
      this.#open.delete(segment);
      return "gone";
    } finally {
      entry.usersCount--;
      await this.#closeUnused(entry);
    }
  }

  /** Closes a segment's file, once nobody reads it. */
  async forget(segment: number): Promise<void> {
    const entry = this.#open.get(segment);
    if (entry === undefined) return;
    this.#open.delete(segment);
    entry.isForgotten = true;
    await this.#closeUnused(entry);
  }

  async close(): Promise<void> {
    for (const segment of [...this.#open.keys()]) await this.forget(segment);
  }

  #use(segment: number): OpenSegment {
    let entry = this.#open.get(segment);
    if (entry === undefined) {
      entry = { file: this.#disk.openRead(segmentPath(segment)), usersCount: 0, isForgotten: false };
      entry.file.catch(() => this.#open.delete(segment));
    } else this.#open.delete(segment);
    entry.usersCount++;
    this.#open.set(segment, entry);
    if (this.#open.size > openFilesCount) {
      const [oldest] = this.#open.keys();
      void this.forget(oldest!);
    }
    return entry;
  }

  async #closeUnused(entry: OpenSegment): Promise<void> {
    if (!entry.isForgotten || entry.usersCount > 0) return;
    entry.isForgotten = false;
    const file = await entry.file.catch(() => undefined);
    await file?.close();
  }
}
