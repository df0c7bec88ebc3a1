/**
 * A regular file on its way into a directory. It is made under a temporary name, closed to everybody else, written and
 * given its attributes through its own descriptor, and only then renamed: whoever looks sees the whole file or none,
 * and whoever exchanges names meanwhile gains nothing.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { DataExtent, FileAttributes } from "#protocol/tree.ts";
import { type OnNote, type PlacePolicy, applyAttributes } from "./attributes.ts";
import { type Directory, closeDescriptor } from "./directory.ts";
import { readDescriptorStat } from "./descriptor-stat.ts";
import { E, addressOf, errno, libc } from "./libc.ts";
import { OsError, lastError } from "./os-error.ts";
import { temporaryName } from "./temporary-name.ts";

/** Which object it is, for as long as it exists. */
export interface ObjectIdentity {
  readonly device: number;
  readonly inode: bigint;
}

/** What to do when the name is taken at the end. */
export type Replacing = "never" | "replace";

export class NewFile {
  readonly fd: number;
  private readonly directory: Directory;
  private readonly temporary: ByteString;
  private isDone = false;
  /** How far this object itself has written; others may have written through `fd`. */
  private writtenBytes = 0;

  constructor(directory: Directory) {
    this.directory = directory;
    this.temporary = temporaryName();
    this.fd = directory.createFile(this.temporary);
  }

  /** Writes at a place in the file; what is never written stays a hole. */
  write(bytes: Uint8Array, offsetBytes: number): void {
    writeAll(this.fd, bytes, offsetBytes);
    this.writtenBytes = Math.max(this.writtenBytes, offsetBytes + bytes.length);
  }

  /** Gives it its size and attributes and its name. EEXIST when the name is taken and `replacing` is `never`. */
  finish(
    name: ByteString,
    sizeBytes: number,
    attributes: FileAttributes,
    policy: PlacePolicy,
    replacing: Replacing,
    onNote: OnNote,
  ): ObjectIdentity {
    if (this.writtenBytes !== sizeBytes && libc.ftruncate(this.fd, sizeBytes) < 0) throw lastError("ftruncate", name);
    applyAttributes({ fd: this.fd, isPathOnly: false }, attributes, policy, onNote);
    const { device, inode } = readDescriptorStat(this.fd);
    moveIntoPlace(this.directory, this.temporary, name, replacing);
    this.isDone = true;
    closeDescriptor(this.fd);
    return { device, inode };
  }

  /** Removes it, unless it was finished. */
  [Symbol.dispose](): void {
    if (this.isDone) return;
    this.isDone = true;
    closeDescriptor(this.fd);
    removeQuietly(this.directory, this.temporary);
  }
}

export function moveIntoPlace(
  directory: Directory,
  temporary: ByteString,
  name: ByteString,
  replacing: Replacing,
): void {
  if (replacing === "never") directory.renameNew(temporary, directory, name);
  else directory.rename(temporary, directory, name);
}

/** For the way out after a failure, which is what counts. */
export function removeQuietly(directory: Directory, name: ByteString): void {
  try {
    directory.removeFile(name);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
  }
}

export function writeAll(fd: number, bytes: Uint8Array, offsetBytes: number): void {
  const address = addressOf(bytes);
  for (let done = 0; done < bytes.length;) {
    const written = libc.pwrite(fd, address + done, bytes.length - done, offsetBytes + done);
    if (written > 0) done += written;
    else if (written === 0) throw new OsError("pwrite", E.IO);
    else if (errno() !== E.INTR) throw lastError("pwrite");
  }
}

export interface PlacedRange {
  /** Where in the content, whose start is at 0. */
  readonly contentOffsetBytes: number;
  readonly fileOffsetBytes: number;
  readonly lengthBytes: number;
}

/**
 * Where a part of a sparse file's content belongs: its content is the data ranges end to end. A map is made once a
 * file and asked for each slice, in any order.
 */
export class ExtentMap {
  private readonly extents: readonly DataExtent[];
  /** Content offset at which each extent starts. */
  private readonly starts: Float64Array;
  readonly contentBytes: number;

  constructor(extents: readonly DataExtent[]) {
    this.extents = extents;
    this.starts = new Float64Array(extents.length);
    let total = 0;
    for (const [index, extent] of extents.entries()) {
      this.starts[index] = total;
      total += extent.lengthBytes;
    }
    this.contentBytes = total;
  }

  *ranges(contentOffsetBytes: number, lengthBytes: number): Generator<PlacedRange> {
    const end = Math.min(contentOffsetBytes + lengthBytes, this.contentBytes);
    for (let at = contentOffsetBytes, index = this.indexAt(at); at < end; index++) {
      const start = this.starts[index]!;
      const extent = this.extents[index]!;
      const length = Math.min(start + extent.lengthBytes, end) - at;
      if (length <= 0) continue;
      yield { contentOffsetBytes: at, fileOffsetBytes: extent.offsetBytes + (at - start), lengthBytes: length };
      at += length;
    }
  }

  /** The last extent that starts at or before a content offset. */
  private indexAt(contentOffsetBytes: number): number {
    let low = 0;
    let high = this.extents.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.starts[middle]! <= contentOffsetBytes) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
