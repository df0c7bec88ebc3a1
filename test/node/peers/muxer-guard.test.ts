/** The watch over the multiplexer's frames: it follows them however they are cut, and counts what costs memory. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { MuxerFrames, PeerViolation } from "#node/peers/muxer-guard.ts";
import { peerLimits } from "#node/peers/peer-limits.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("muxer guard");
const limits = peerLimits({ peerSmallFramesCount: 10, peerStreamWindowBytes: 5000, peerSmallFrameBytes: 100 });

function frame(type: number, flags: number, length: number): Buffer {
  const bytes = Buffer.alloc(type === 0 ? 12 + length : 12, 0xee);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(flags, 2);
  bytes.writeUInt32BE(1, 4);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}

function watch(nowMs: () => number = () => 0): MuxerFrames {
  return new MuxerFrames({ elapsedMs: nowMs }, { limits });
}

test("frames pass wherever they are cut, and the first that is too large does not", () => {
  const many = Array.from({ length: 40 }, (_, index) => [frame(0, 0, 100 + index * 100), frame(1, 0, 2 ** 32 - 1)]);
  const bytes = Buffer.concat(many.flat());
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 50 }), (cuts) => {
      const frames = watch();
      for (let at = 0, turn = 0; at < bytes.length; at += cuts[turn++ % cuts.length]!)
        frames.pass(bytes.subarray(at, at + cuts[turn % cuts.length]!));
    }),
    { examples: [[[1]], [[12]]] },
  );
  assert.throws(() => watch().pass(Buffer.concat([bytes, frame(0, 0, 5001).subarray(0, 12)])), PeerViolation);
});

test("small frames, pings and openings are counted, and larger ones and window updates are not", () => {
  for (const [kind, isCounted] of [
    [frame(0, 0, 99), true],
    [frame(0, 0, 0), true],
    [frame(2, 1, 7), true],
    [frame(1, 1, 0), true],
    [frame(1, 0, 99), false],
    [frame(0, 0, 100), false],
  ] as const) {
    const frames = watch();
    frames.pass(Buffer.concat(Array.from({ length: 10 }, () => kind)));
    if (isCounted) assert.throws(() => frames.pass(kind), PeerViolation);
    else frames.pass(kind);
  }
});

test("the count begins anew when its time is over", () => {
  let nowMs = 0;
  const frames = watch(() => nowMs);
  for (let round = 0; round < 5; round++) {
    for (let count = 0; count < 9; count++) frames.pass(frame(2, 1, 7));
    nowMs += limits.peerFrameWatchMs;
  }
  assert.throws(() => {
    for (let count = 0; count < 20; count++) frames.pass(frame(2, 1, 7));
  }, PeerViolation);
});

test.run();
