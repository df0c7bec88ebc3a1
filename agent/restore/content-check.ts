/** `--verify`: whether a file on the disk is what the snapshot holds. Throws `restore-unverified`. */
import { fdatasyncSync, read, readSync } from "node:fs";
import { promisify } from "node:util";
import { CostorError } from "#protocol/errors.ts";
import type { DataExtent } from "#protocol/tree.ts";
import { dataRanges } from "#agent/files/holes.ts";

const PIECE_BYTES = 1024 * 1024;
const readPiece = promisify(read);

const unverified = (): CostorError =>
  new CostorError("restore-unverified", "what the disk gives back is not what the snapshot holds");

/** Reads back a part of a file, after it was handed to the disk. */
export function checkContent(fd: number, content: Buffer, fileOffsetBytes: number): void {
  fdatasyncSync(fd);
  const found = Buffer.allocUnsafe(content.length);
  let length = 0;
  while (length < content.length) {
    const readBytes = readSync(fd, found, length, content.length - length, fileOffsetBytes + length);
    if (readBytes === 0) break;
    length += readBytes;
  }
  if (length !== content.length || !found.equals(content)) throw unverified();
}

/** Whether there are only zeros around a file's data ranges. */
export async function checkHoles(fd: number, sizeBytes: number, extents: readonly DataExtent[]): Promise<void> {
  let at = 0;
  for (const extent of [...extents, { offsetBytes: sizeBytes, lengthBytes: 0 }]) {
    for (const range of dataRanges(fd, at, extent.offsetBytes)) await checkZeros(fd, range);
    at = extent.offsetBytes + extent.lengthBytes;
  }
}

async function checkZeros(fd: number, { offsetBytes, lengthBytes }: DataExtent): Promise<void> {
  const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, lengthBytes));
  for (let at = 0; at < lengthBytes;) {
    const length = Math.min(piece.length, lengthBytes - at);
    const { bytesRead } = await readPiece(fd, piece, 0, length, offsetBytes + at);
    if (bytesRead === 0 || piece.subarray(0, bytesRead).some((byte) => byte !== 0)) throw unverified();
    at += bytesRead;
  }
}
