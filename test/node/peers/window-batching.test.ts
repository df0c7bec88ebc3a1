/** A stream's window comes back in halves, to a sender that is plain js-libp2p; so does what it sends arrive whole. */
import assert from "node:assert/strict";
import type { Channel, Protocol } from "#ledger/peers.ts";
import { attackedPeers, attackerOf } from "#test/support/hostile-peer.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("window batching", { timeoutMs: 30_000 });
const sink: Protocol = { name: "/costor/sink/1", maxFrameBytes: 16 * 1024, maxChannelsPerPeerCount: 1 };

test("a stream gets an update for half a window, not for each frame", async () => {
  const framesCount = 1000;
  const takeAll = async (channel: Channel): Promise<void> => {
    for (let count = 0; count < framesCount; count++) assert.equal((await channel.receive())!.length, 9999);
    await channel.send(Buffer.from("all"));
  };
  await using target = await attackedPeers({ handlers: [[sink, takeAll]] });
  await using sender = await attackerOf(target, { member: true });
  const stream = (await sender.open(sink.name)) as unknown as {
    handleWindowUpdate(frame: unknown): void;
    send(bytes: Uint8Array): boolean;
    writeBufferLength: number;
    addEventListener(type: string, listener: () => void): void;
  };
  let updatesCount = 0;
  const handleWindowUpdate = stream.handleWindowUpdate.bind(stream);
  stream.handleWindowUpdate = (frame) => {
    updatesCount++;
    handleWindowUpdate(frame);
  };
  const answered = new Promise<void>((resolve) => stream.addEventListener("message", resolve));
  const frame = Buffer.concat([Buffer.from([0x8f, 0x4e]), Buffer.alloc(9999, 1)]);
  for (let count = 0; count < framesCount; count++) {
    stream.send(frame);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await answered;
  assert.ok(updatesCount >= 1 && updatesCount <= 80, `${updatesCount} updates for ${framesCount} frames`);
});

test.run();
