/** Memory that was sent is used again only when libp2p is done with it: what arrives is what was sent, however the line stalls. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Stream } from "@libp2p/interface";
import type { Channel, Protocol } from "#ledger/peers.ts";
import { isTaken } from "#node/peers/muxed-streams.ts";
import { noise } from "#test/support/noise.ts";
import { startTestPeers, testMachine, TestMembership, testPeers } from "#test/support/libp2p-peers.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("muxed streams", { timeoutMs: 60_000 });
const MIB = 1024 * 1024;
const sink: Protocol = { name: "/costor/sink/1", maxFrameBytes: 8 * MIB, maxChannelsPerPeerCount: 1 };
const streamOf = (channel: Channel): Stream => (channel as unknown as { stream: Stream }).stream;

async function connected(handler: (channel: Channel) => Promise<void>) {
  const membership = new TestMembership();
  const machines = [testMachine(), testMachine()];
  for (const { key } of machines) membership.members.add(key);
  const made = await Promise.all(
    machines.map((machine) => testPeers(membership, machine, { limits: { peerKeptCount: 0 } })),
  );
  made[1]!.peers.serve(sink, handler);
  for (const one of made) await startTestPeers(one);
  const channel = await made[0]!.peers.open(machines[1]!.key, sink);
  return {
    channel,
    [Symbol.asyncDispose]: async () => void (await Promise.all(made.map(({ peers }) => peers[Symbol.asyncDispose]()))),
  };
}

test("frames whose memory is written over as soon as they are sent arrive as they were", async () => {
  const framesCount = 24;
  const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
  const received: string[] = [];
  await using line = await connected(async (channel) => {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      received.push(digest(frame));
      // Now and then nobody takes anything, so that the window closes and bytes wait on their way.
      if (received.length % 6 === 0) await sleep(30);
    }
    await channel.send(Buffer.from("all"));
  });
  const sent: string[] = [];
  const memory = Buffer.alloc(3 * MIB);
  for (let at = 0; at < framesCount; at++) {
    const lengthBytes = at % 3 === 0 ? 100 + at : 3 * MIB - at;
    memory.fill(noise(`frame ${at}`, 4099));
    const frame = memory.subarray(0, lengthBytes);
    sent.push(digest(frame));
    await line.channel.send([frame.subarray(0, 50), frame.subarray(50)]);
  }
  await line.channel.close();
  await line.channel.receive();
  assert.deepEqual(received, sent);
});

test("a stream has taken all once it is encrypted, and not while bytes wait for the window", async () => {
  const reading = Promise.withResolvers<void>();
  await using line = await connected(async (channel) => {
    await channel.receive();
    await channel.send(Buffer.from("got it"));
    await reading.promise;
    await channel.receive();
    await channel.send(Buffer.from("got it"));
  });
  const { channel } = line;
  await channel.send(Buffer.alloc(100));
  await channel.receive();
  assert.equal(isTaken(streamOf(channel)), true);
  const sending = channel.send(Buffer.alloc(7 * MIB));
  await sleep(50);
  assert.equal(isTaken(streamOf(channel)), false);
  reading.resolve();
  await sending;
  await channel.receive();
  assert.equal(isTaken(streamOf(channel)), true);
});

test.run();
