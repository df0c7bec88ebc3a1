/** What the beginning of a file says: whether it is of a kind that is known, and whether it can be compressed. */
import { isUtf8 } from "node:buffer";
import { deflateRawSync } from "node:zlib";
import { fileTypeFromBuffer } from "file-type";

/** So much of a file's beginning is looked at. */
export const HEAD_BYTES = 16 * 1024;
/** Of less nobody can tell. */
const LEAST_BYTES = 256;
const COMPRESSIBLE_RATIO = 0.95;
/** Bytes below a space that text files do have: tab, newline, form feed, carriage return, escape. */
const TEXT_CONTROLS: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0c, 0x0d, 0x1b]);
const isTextByte = (byte: number): boolean => (byte >= 0x20 && byte !== 0x7f) || TEXT_CONTROLS.has(byte);

export interface FileHead {
  /** Its first bytes are those of a picture, a document, an archive …, or it is text. */
  readonly isKnownKind: boolean;
  readonly isCompressible: boolean;
}

/** Undefined for a file that is too short to tell. `head` are its first bytes, at most {@link HEAD_BYTES}. */
export async function readHead(head: Buffer): Promise<FileHead | undefined> {
  if (head.length < LEAST_BYTES) return undefined;
  return {
    isKnownKind: isText(head) || (await hasSignature(head)),
    isCompressible: deflateRawSync(head, { level: 1 }).length < head.length * COMPRESSIBLE_RATIO,
  };
}

/** A character may be cut in two at the end. */
const isText = (head: Buffer): boolean =>
  [0, 1, 2, 3].some((cut) => isUtf8(head.subarray(0, head.length - cut))) && head.every(isTextByte);

async function hasSignature(head: Buffer): Promise<boolean> {
  try {
    return (await fileTypeFromBuffer(head)) !== undefined;
  } catch {
    // It was recognised, and then read on behind the end of what there is of it.
    return true;
  }
}
