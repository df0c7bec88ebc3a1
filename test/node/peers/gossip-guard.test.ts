/** Envelopes are counted right wherever the bytes are cut. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { encodeFrameHeader } from "#node/peers/frame-header.ts";
import { EnvelopeCount } from "#node/peers/gossip-guard.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("gossip guard");

test("so many envelopes are counted as there are, empty ones and cut ones too", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 50 }),
      fc.integer({ min: 1, max: 300 }),
      (lengths, pieceBytes) => {
        const bytes = Buffer.concat(
          lengths.flatMap((length) => [encodeFrameHeader(length, 1000), Buffer.alloc(length, 0x81)]),
        );
        const envelopes = new EnvelopeCount();
        for (let at = 0; at < bytes.length; at += pieceBytes) envelopes.pass(bytes.subarray(at, at + pieceBytes));
        assert.equal(envelopes.count, lengths.length);
      },
    ),
  );
});

test.run();
