/**
 * Goal: what was received is taken in order and whole, whatever its pieces and whatever is put back, and the other side is told to wait.
 * Method: random pieces, and readers that use a part of what they take.
 */
import assert from "node:assert/strict";
import type { Stream } from "@libp2p/interface";
import * as fc from "fast-check";
import { StreamSource } from "#node/peers/stream-source.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("stream source");
const UNREAD_LIMIT_BYTES = 200_000;

/** As much of a stream as a source uses. */
function fakeStream() {
  const stream = Object.assign(new EventTarget(), {
    status: "open",
    remoteWriteStatus: "open",
    readBufferLength: 0,
    isPaused: false,
    sendPause: () => void (stream.isPaused = true),
    sendResume: () => void (stream.isPaused = false),
  });
  const source = new StreamSource(stream as unknown as Stream, { unreadLimitBytes: UNREAD_LIMIT_BYTES });
  const deliver = (data: Uint8Array): void => void stream.dispatchEvent(Object.assign(new Event("message"), { data }));
  return { stream, source, deliver };
}

test("bytes come in order, whatever their pieces and whatever is put back", () => {
  const step = fc.record({
    pieceBytes: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 30_000, max: 70_000 })),
    takesCount: fc.integer({ min: 0, max: 4 }),
    usedRatio: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { source, stream, deliver } = fakeStream();
      const [sent, taken]: [Buffer[], Buffer[]] = [[], []];
      const takeSome = (usedRatio: number): boolean => {
        const piece = source.take();
        if (piece === undefined) return false;
        const usedBytes = Math.ceil(piece.length * usedRatio);
        taken.push(Buffer.from(piece.subarray(0, usedBytes)));
        if (usedBytes < piece.length) source.putBack(piece.length - usedBytes);
        return true;
      };
      for (const { pieceBytes, takesCount, usedRatio } of steps) {
        const piece = Buffer.from(noise(`piece ${sent.length}`, pieceBytes));
        sent.push(piece);
        deliver(Buffer.from(piece));
        for (let count = 0; count < takesCount; count++) takeSome(usedRatio);
        const waitingBytes = Buffer.concat(sent).length - Buffer.concat(taken).length;
        if (waitingBytes >= UNREAD_LIMIT_BYTES) assert.ok(stream.isPaused, "the other side waits");
      }
      while (takeSome(1));
      assert.ok(Buffer.concat(taken).equals(Buffer.concat(sent)));
      assert.ok(!stream.isPaused, "the other side goes on");
    }),
  );
});

test("who waits with room gets bytes there at once, in order, and is woken when it is full or something is left over", async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 20 });
  const property = fc.asyncProperty(fc.array(sizes, { maxLength: 6 }), async (rounds) => {
    const { source, stream, deliver } = fakeStream();
    const [sent, taken]: [Buffer[], Buffer[]] = [[], []];
    for (const [round, pieces] of rounds.entries()) {
      const room = Buffer.alloc(60_000 * (round + 1));
      let filledBytes = 0;
      const filling = {
        fill: (piece: Uint8Array): number => {
          const usedBytes = Math.min(piece.length, room.length - filledBytes);
          room.set(piece.subarray(0, usedBytes), filledBytes);
          filledBytes += usedBytes;
          return usedBytes;
        },
        isFull: () => filledBytes === room.length,
      };
      let isWoken = false;
      void source.changed(undefined, filling).then(() => (isWoken = true));
      const before = Buffer.concat(sent).length;
      for (const pieceBytes of pieces) {
        const piece = Buffer.from(noise(`piece ${round} ${sent.length}`, pieceBytes));
        sent.push(piece);
        deliver(Buffer.from(piece));
      }
      const comeBytes = Buffer.concat(sent).length - before;
      await Promise.resolve();
      await Promise.resolve();
      assert.equal(filledBytes, Math.min(comeBytes, room.length));
      assert.equal(isWoken, comeBytes >= room.length);
      assert.equal(
        stream.isPaused,
        comeBytes - filledBytes >= UNREAD_LIMIT_BYTES,
        "what is filled in waits for nobody",
      );
      taken.push(room.subarray(0, filledBytes));
      for (let piece = source.take(); piece !== undefined; piece = source.take()) taken.push(Buffer.from(piece));
      // Who waited may have gone without being woken.
      stream.dispatchEvent(new Event("remoteCloseWrite"));
      await Promise.resolve();
    }
    assert.ok(Buffer.concat(taken).equals(Buffer.concat(sent)));
  });
  await fc.assert(property);
});

test("what comes when nobody will take any more is not kept", () => {
  const { source, stream, deliver } = fakeStream();
  deliver(Buffer.alloc(100_000));
  source.discard();
  deliver(Buffer.alloc(100_000));
  assert.equal(source.take(), undefined);
  assert.ok(stream.isPaused);
});

test.run();
