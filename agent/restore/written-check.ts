import { fdatasyncSync, readSync } from "node:fs";
import { CostorError } from "#protocol/errors.ts";

/** Reads back what was written, after it was handed to the disk. Throws `restore-unverified`. */
export function checkWritten(fd: number, content: Buffer, fileOffsetBytes: number): void {
  fdatasyncSync(fd);
  const found = Buffer.allocUnsafe(content.length);
  let length = 0;
  while (length < content.length) {
    const read = readSync(fd, found, length, content.length - length, fileOffsetBytes + length);
    if (read === 0) break;
    length += read;
  }
  if (length !== content.length || !found.equals(content))
    throw new CostorError("restore-unverified", "what was read back is not what was written");
}
