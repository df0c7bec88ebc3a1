import { limits } from "#protocol/limits.ts";
import type { DataExtent } from "#protocol/tree.ts";
import { E, SEEK_DATA, SEEK_HOLE, errno, libc } from "./libc.ts";
import { OsError } from "./os-error.ts";

/**
 * The ranges of an open file that hold data, by SEEK_DATA and SEEK_HOLE; undefined when it has no holes. Ask only for
 * files with less allocated than their size: a file system that compresses answers with one whole range.
 */
export function findDataExtents(
  fd: number,
  sizeBytes: number,
  maxCount: number = limits.sparseExtentsCount,
): DataExtent[] | undefined {
  let extents: DataExtent[] = [];
  let mergedGapBytes = 0;
  for (const range of dataRanges(fd, 0, sizeBytes)) {
    append(extents, range, mergedGapBytes);
    while (extents.length > maxCount) {
      mergedGapBytes = Math.max(4096, mergedGapBytes * 2);
      const finer = extents;
      extents = [];
      for (const extent of finer) append(extents, extent, mergedGapBytes);
    }
  }
  const only = extents.length === 1 ? extents[0]! : undefined;
  return only?.offsetBytes === 0 && only.lengthBytes === sizeBytes ? undefined : extents;
}

/** What holds data between two offsets of an open file. */
export function* dataRanges(fd: number, fromBytes: number, toBytes: number): Generator<DataExtent> {
  for (let at = fromBytes; at < toBytes;) {
    const start = seek(fd, at, SEEK_DATA, toBytes);
    if (start >= toBytes) return;
    at = Math.min(seek(fd, start, SEEK_HOLE, toBytes), toBytes);
    yield { offsetBytes: start, lengthBytes: at - start };
  }
}

/** ENXIO: no data from there to the end. EINVAL: the file system knows no holes, all is data. */
function seek(fd: number, fromBytes: number, whence: number, sizeBytes: number): number {
  const found = libc.lseek(fd, fromBytes, whence);
  if (found >= 0) return Number(found);
  const failure = errno();
  if (failure === E.NXIO) return sizeBytes;
  if (failure === E.INVAL) return whence === SEEK_DATA ? fromBytes : sizeBytes;
  throw new OsError("lseek", failure);
}

/** Adds the next extent, or stretches the last one over the gap before it when that is at most `gapBytes`. */
function append(extents: DataExtent[], next: DataExtent, gapBytes: number): void {
  const last = extents.at(-1);
  const endBytes = next.offsetBytes + next.lengthBytes;
  if (last === undefined || next.offsetBytes - (last.offsetBytes + last.lengthBytes) > gapBytes) extents.push(next);
  else extents[extents.length - 1] = { offsetBytes: last.offsetBytes, lengthBytes: endBytes - last.offsetBytes };
}
