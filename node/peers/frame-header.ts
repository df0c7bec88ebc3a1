/**
 * The length before each frame: unsigned LEB128 of at most four bytes, the shortest form. A length is judged before a byte
 * of the frame is kept.
 */
import { CostorError } from "#protocol/errors.ts";

const headerBytes = 4;
const largestLengthBytes = 2 ** (7 * headerBytes) - 1;

/** Throws `limit-exceeded` above the protocol's limit. */
export function encodeFrameHeader(lengthBytes: number, maxFrameBytes: number): Buffer {
  if (lengthBytes > Math.min(maxFrameBytes, largestLengthBytes)) throw frameTooLarge(maxFrameBytes);
  const header: number[] = [];
  let rest = lengthBytes;
  for (; rest >= 0x80; rest >>>= 7) header.push((rest & 0x7f) | 0x80);
  header.push(rest);
  return Buffer.from(header);
}

export class FrameHeader {
  private readonly maxFrameBytes: number;
  private length = 0;
  private count = 0;

  constructor(init: { maxFrameBytes: number }) {
    this.maxFrameBytes = init.maxFrameBytes;
  }

  get begun(): boolean {
    return this.count > 0;
  }

  /** Takes one byte; gives the length when it was the last, and is then new. Throws `limit-exceeded`. */
  add(byte: number): number | undefined {
    this.length += (byte & 0x7f) * 2 ** (7 * this.count);
    this.count++;
    const isLast = byte < 0x80;
    if (this.length > this.maxFrameBytes || (!isLast && this.count === headerBytes))
      throw frameTooLarge(this.maxFrameBytes);
    if (!isLast) return undefined;
    if (byte === 0 && this.count > 1)
      throw new CostorError("limit-exceeded", "the length of a frame is not in its shortest form");
    const { length } = this;
    this.length = 0;
    this.count = 0;
    return length;
  }
}

const frameTooLarge = (maxFrameBytes: number): CostorError =>
  new CostorError("limit-exceeded", `a frame is larger than the ${maxFrameBytes} bytes that its protocol allows`);
