/**
 * What a member may do that has been taken over, or runs other software: it is refused, its channel or connection ends, one
 * line of the log says so, and an honest member is served. Method: plain libp2p nodes against a running transport with
 * small limits.
 */
import assert from "node:assert/strict";
import type { Stream } from "@libp2p/interface";
import { yamux } from "@libp2p/yamux";
import { attacked, attackedPeers, type Attacker, attackerOf, ended, pour } from "#test/support/hostile-peer.ts";
import type { Channel } from "#ledger/peers.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile members", { timeoutMs: 30_000 });

/** First bytes of a stream, and what the log says of them. */
const badHeaders: readonly (readonly [title: string, bytes: Buffer, logged: string])[] = [
  ["a frame one byte above the limit", Buffer.from([0x81, 0x80, 0x04]), "larger"],
  ["the largest length that four bytes say", Buffer.from([0xff, 0xff, 0xff, 0x7f]), "larger"],
  ["a length of 2⁵³", Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]), "larger"],
  ["a length that never ends", Buffer.alloc(100_000, 0x80), "larger"],
  ["a length that is not in its shortest form", Buffer.from([0x81, 0x00, 0x41]), "shortest form"],
];

for (const [title, bytes, logged] of badHeaders) {
  test(`${title} ends its channel before anything is kept of it`, async () => {
    await using target = await attackedPeers();
    await using attacker = await attackerOf(target, { member: true });
    const stream = await attacker.open(attacked.name);
    stream.send(bytes);
    await ended(stream);
    await target.until(() => target.refusals(logged).length === 1);
    // The connection is not at fault.
    const again = await attacker.open(attacked.name);
    again.send(Buffer.from([1, 65]));
    await new Promise((resolve) => again.addEventListener("message", resolve, { once: true }));
    await target.assertServes();
  });
}

test("a protocol or a version that is not served is not opened", async () => {
  await using target = await attackedPeers();
  await using attacker = await attackerOf(target, { member: true });
  await assert.rejects(attacker.open("/costor/unknown/1"), { name: "UnsupportedProtocolError" });
  await assert.rejects(attacker.open("/costor/test/2"), { name: "UnsupportedProtocolError" });
  await target.assertServes();
});

test("who sends a frame byte by byte loses the channel", async () => {
  await using target = await attackedPeers({ limits: { peerFrameWatchMs: 100, peerFrameMinBytesPerSecond: 1000 } });
  await using attacker = await attackerOf(target, { member: true });
  const stream = await attacker.open(attacked.name);
  stream.send(Buffer.from([0x80, 0x80, 0x02]));
  const dribble = setInterval(() => stream.status === "open" && stream.send(Buffer.from([1])), 20);
  try {
    await ended(stream);
  } finally {
    clearInterval(dribble);
  }
  await target.until(() => target.refusals("too slowly").length === 1);
  await target.assertServes();
});

test("who never reads slows its own channel, which ends when nothing moves", async () => {
  let sentCount = 0;
  const pourOut = async (channel: Channel): Promise<void> => {
    for (; ; sentCount++) await channel.send(Buffer.alloc(pouring.maxFrameBytes));
  };
  const pouring = { name: "/costor/pour/1", maxFrameBytes: 1024 * 1024, maxChannelsPerPeerCount: 1 };
  await using target = await attackedPeers({
    limits: { peerFrameWatchMs: 50, peerChannelIdleMs: 300 },
    handlers: [[pouring, pourOut]],
  });
  await using attacker = await attackerOf(target, { member: true });
  const stream = await attacker.open(pouring.name);
  stream.pause();
  await target.until(() => target.refusals("nothing has moved").length === 1);
  assert.ok(sentCount < 16, `${sentCount} MiB were taken from the writer`);
  await target.assertServes();
});

test("a channel on which nobody speaks ends", async () => {
  await using target = await attackedPeers({ limits: { peerFrameWatchMs: 50, peerChannelIdleMs: 200 } });
  await using attacker = await attackerOf(target, { member: true });
  await ended(await attacker.open(attacked.name));
  assert.equal(target.refusals("nothing has moved").length, 1);
  await target.assertServes();
});

test("what a handler does not take is bounded", async () => {
  let held: Channel | undefined;
  const hold = async (channel: Channel): Promise<void> => {
    held = channel;
    await new Promise<void>(() => {});
  };
  const holding = { name: "/costor/hold/1", maxFrameBytes: 1024, maxChannelsPerPeerCount: 1 };
  await using target = await attackedPeers({
    limits: { peerUnreadBytes: 64 * 1024, peerStreamWindowBytes: 512 * 1024 },
    handlers: [[holding, hold]],
  });
  await using attacker = await attackerOf(target, { member: true });
  const stream = await attacker.open(holding.name);
  const takenBytes = await pour(target, stream, 4 * 1024 * 1024);
  assert.ok(takenBytes <= (64 + 512) * 1024, `${takenBytes} bytes were taken`);
  const { source } = held as unknown as { source: { unreadBytes: number } };
  assert.ok(source.unreadBytes <= (64 + 512) * 1024, `${source.unreadBytes} bytes are kept`);
  held!.abort();
});

test("more channels than the protocol allows are refused", async () => {
  await using target = await attackedPeers();
  await using attacker = await attackerOf(target, { member: true });
  await attacker.dial();
  // With more than ten before the other side is ready, libp2p ends the connection.
  const opened = await Promise.allSettled(Array.from({ length: 8 }, () => attacker.open(attacked.name)));
  const streams = opened.filter((result) => result.status === "fulfilled").map(({ value }) => value);
  // On a busy machine some of them come to nothing by themselves.
  await target.until(
    () =>
      target.refusals("too many channels").length === 1 &&
      streams.filter(({ status }) => status === "open").length <= attacked.maxChannelsPerPeerCount,
  );
  await target.assertServes();
});

test("a second connection does not give a peer more channels, and a third ends the first", async () => {
  await using target = await attackedPeers();
  await using attacker = await attackerOf(target, { member: true });
  const connections = [await attacker.dial(), await attacker.dial()] as const;
  const streams: Stream[] = [];
  for (const connection of connections)
    for (let count = 0; count < 3; count++) streams.push(await connection.newStream(attacked.name));
  await target.until(
    () => streams.filter(({ status }) => status === "open").length === attacked.maxChannelsPerPeerCount,
  );
  const third = await attacker.dial();
  await ended(connections[0]);
  assert.deepEqual([connections[1].status, third.status], ["open", "open"]);
  await target.assertServes();
});

test("a flood of streams that name no protocol is bounded", async () => {
  await using target = await attackedPeers({ limits: { peerStreamsCount: 8, peerProtocolMs: 300 } });
  await using attacker = await attackerOf(target, { member: true });
  const { muxer } = (await attacker.dial()) as unknown as { muxer: { createStream(): Promise<{ status: string }> } };
  const streams = await Promise.all(Array.from({ length: 100 }, () => muxer.createStream()));
  await target.until(() => streams.filter(({ status }) => status === "open").length <= 8);
  await target.until(() => streams.every(({ status }) => status !== "open"));
  await target.assertServes();
});

/** What a member writes below its multiplexer: bytes of Yamux as it likes. */
async function writeFrames(attacker: Attacker, frames: Buffer): Promise<void> {
  const connection = await attacker.dial();
  const { muxer } = connection as unknown as { muxer: { maConn: { send(bytes: Uint8Array): boolean } } };
  muxer.maConn.send(frames);
  await ended(connection);
}

function yamuxHeader(type: number, flags: number, streamId: number, length: number): Buffer {
  const header = Buffer.alloc(12);
  header[1] = type;
  header.writeUInt16BE(flags, 2);
  header.writeUInt32BE(streamId, 4);
  header.writeUInt32BE(length, 8);
  return header;
}

test("a frame of the multiplexer that says 4 GiB ends the connection at its header", async () => {
  await using target = await attackedPeers();
  await using attacker = await attackerOf(target, { member: true });
  await writeFrames(attacker, yamuxHeader(0, 1, 101, 2 ** 32 - 1));
  assert.equal(target.refusals("larger than any window").length, 1);
  await target.assertServes();
});

const floods: readonly (readonly [title: string, frame: Buffer])[] = [
  ["pings of the multiplexer", yamuxHeader(2, 1, 0, 7)],
  ["streams opened and reset", Buffer.concat([yamuxHeader(1, 1, 101, 0), yamuxHeader(1, 8, 101, 0)])],
  ["frames of one byte", Buffer.concat([yamuxHeader(0, 0, 101, 1), Buffer.from([1])])],
  ["empty frames", yamuxHeader(0, 0, 101, 0)],
];
for (const [title, frame] of floods) {
  test(`a flood of ${title} ends the connection`, async () => {
    await using target = await attackedPeers({ limits: { peerSmallFramesCount: 1000 } });
    await using attacker = await attackerOf(target, { member: true, muxer: yamux({ enableKeepAlive: false }) });
    await writeFrames(attacker, Buffer.concat(Array.from({ length: 1100 }, () => frame)));
    assert.equal(target.refusals("small frames").length, 1);
    await target.assertServes();
  });
}

test("a member that does not answer whether it lives is disconnected", async () => {
  await using target = await attackedPeers({ limits: { peerPingMs: 200, peerPingAnswerMs: 3000 } });
  await using attacker = await attackerOf(target, { member: true });
  await attacker.node.handle("/ipfs/ping/1.0.0", () => {});
  await ended(await attacker.dial());
  await target.until(() => !target.victim.peers.connected().includes(attacker.machine.key));
  await target.assertServes();
});

test("a member that is expelled while it is connected is disconnected, and not let in again", async () => {
  await using target = await attackedPeers();
  await using attacker = await attackerOf(target, { member: true });
  const stream = await attacker.open(attacked.name);
  const [connection] = attacker.node.getConnections();
  target.membership.members.delete(attacker.machine.key);
  target.victim.peers.membershipChanged();
  await ended(connection!);
  await ended(stream);
  assert.equal(target.refusals("no member any more").length, 1);
  assert.ok(!target.victim.peers.connected().includes(attacker.machine.key));
  await attacker.dial().then(ended, () => {});
  await target.until(() => target.refusals("not a member").length === 1);
  await target.assertServes();
});

test("who floods one of libp2p's own protocols is slowed down", async () => {
  await using target = await attackedPeers({ limits: { peerServiceBytesPerSecond: 1000, gossipEnvelopesCount: 1e9 } });
  await using attacker = await attackerOf(target, { member: true });
  const takenBytes = await pour(target, await attacker.open("/meshsub/1.1.0"), 16 * 1024 * 1024, 0x7f);
  assert.ok(takenBytes <= 1024 * 1024, `${takenBytes} bytes were taken`);
});

test("a flood of tiny envelopes of gossip ends that stream before it costs time", async () => {
  await using target = await attackedPeers();
  await using attacker = await attackerOf(target, { member: true });
  const stream = await attacker.open("/meshsub/1.1.0");
  stream.send(Buffer.alloc(200_000, 1));
  await ended(stream);
  assert.equal(target.refusals("too much gossip").length, 1);
  await target.assertServes();
});

test("news that a member does not read is not kept for it", async () => {
  await using target = await attackedPeers({ limits: { gossipUnsentBytes: 256 * 1024 } });
  await using attacker = await attackerOf(target, { member: true });
  const { peers } = target.victim;
  const mute = new Promise<Stream>((resolve) =>
    attacker.node.handle("/meshsub/1.1.0", (stream) => {
      stream.pause();
      resolve(stream);
    }),
  );
  await attacker.dial();
  const stream = await mute;
  const subscription = Buffer.from("0a0f0801120b636f73746f722d74657374", "hex");
  (await attacker.open("/meshsub/1.1.0")).send(Buffer.concat([Buffer.from([subscription.length]), subscription]));
  await target.until(() => {
    peers.publish(Buffer.concat([Buffer.alloc(60_000), Buffer.from(`${Math.random()}`)]));
    return stream.status !== "open";
  });
  await target.assertServes();
});

test("an envelope of gossip above the limit ends that stream", async () => {
  await using target = await attackedPeers();
  await using attacker = await attackerOf(target, { member: true });
  const stream = await attacker.open("/meshsub/1.1.0");
  stream.send(Buffer.from([0xff, 0xff, 0xff, 0x7f]));
  await target.assertServes();
});

test.run();
