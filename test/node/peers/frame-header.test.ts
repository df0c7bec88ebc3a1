/** The length before a frame is read as it was written, and judged as early as possible. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { isCostorError } from "#protocol/errors.ts";
import { encodeFrameHeader, FrameHeader } from "#node/peers/frame-header.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("frame header");
const tooLarge = (error: unknown): boolean => isCostorError(error, "limit-exceeded");

/** The lengths that these bytes say, and how many bytes were taken before an error. */
function read(bytes: Uint8Array, maxFrameBytes: number): { lengths: number[]; failedAt: number | undefined } {
  const header = new FrameHeader({ maxFrameBytes });
  const lengths: number[] = [];
  for (const [at, byte] of bytes.entries()) {
    try {
      const length = header.add(byte);
      if (length !== undefined) lengths.push(length);
    } catch (error) {
      assert.ok(tooLarge(error));
      return { lengths, failedAt: at };
    }
  }
  return { lengths, failedAt: undefined };
}

test("every length up to the limit is read as it was written, and known ones have their bytes", () => {
  for (const [length, hex] of [
    [0, "00"],
    [127, "7f"],
    [128, "8001"],
    [300, "ac02"],
    [16_384, "808001"],
    [2 ** 28 - 1, "ffffff7f"],
  ] as const)
    assert.equal(encodeFrameHeader(length, 2 ** 28).toString("hex"), hex);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 28 - 1 })), (lengths) => {
      const bytes = Buffer.concat(lengths.map((length) => encodeFrameHeader(length, 2 ** 28)));
      assert.deepEqual(read(bytes, 2 ** 28), { lengths, failedAt: undefined });
    }),
  );
});

test("a length above the limit is neither written nor read, and read no further than where that shows", () => {
  assert.throws(() => encodeFrameHeader(1001, 1000), tooLarge);
  assert.throws(() => encodeFrameHeader(2 ** 28, 2 ** 40), tooLarge);
  assert.deepEqual(read(Buffer.from("e907", "hex"), 1000), { lengths: [], failedAt: 1 });
  assert.deepEqual(read(Buffer.from("ffffffff", "hex"), 1000), { lengths: [], failedAt: 1 });
  assert.deepEqual(read(Buffer.from("80808080", "hex"), 2 ** 40), { lengths: [], failedAt: 3 });
});

test("a length in a longer form than it needs is not read", () => {
  assert.deepEqual(read(Buffer.from("8000", "hex"), 1000), { lengths: [], failedAt: 1 });
  assert.deepEqual(read(Buffer.from("818000", "hex"), 1000), { lengths: [], failedAt: 2 });
});

test("whatever the bytes, nothing above the limit is read", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 5000 }), (bytes, maxFrameBytes) => {
      for (const length of read(bytes, maxFrameBytes).lengths) assert.ok(length <= maxFrameBytes);
    }),
  );
});

test.run();
