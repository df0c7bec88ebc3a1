/**
 * Goal: connections speak Noise as js-libp2p does, with plain js-libp2p, and what is to be quicker is: a message is not copied together,
 * and goes out in one call. Method: streams between a machine as it runs and one of plain js-libp2p; its socket is watched.
 */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import type { Channel, Protocol } from "#ledger/peers.ts";
import type { Libp2pNode } from "#node/peers/libp2p-node.ts";
import type { Libp2pPeers } from "#node/peers/libp2p-peers.ts";
import { attackedPeers, attackerOf } from "#test/support/hostile-peer.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("noise streams", { timeoutMs: 30_000 });
const protocol: Protocol = { name: "/costor/large/1", maxFrameBytes: 4 * 1024 * 1024, maxChannelsPerPeerCount: 1 };

/** The socket of the machine's only connection. */
function socketOf(peers: Libp2pPeers): Socket {
  const [connection] = (peers as unknown as { node: Libp2pNode }).node.getConnections();
  const { maConn } = connection as unknown as { maConn: { socket: Socket } };
  return maConn.socket;
}

/** Of a frame. */
function header(length: number): Buffer {
  const bytes: number[] = [];
  for (; length >= 0x80; length >>>= 7) bytes.push((length & 0x7f) | 0x80);
  return Buffer.from([...bytes, length]);
}

test("frames of every size go both ways between this and plain Noise", async () => {
  const frames = [1, 1100, 1300, 65_519, 65_520, 300_000, 3_000_000].map((bytes) => noise(`frame ${bytes}`, bytes));
  const received: Uint8Array[] = [];
  const handler = async (channel: Channel): Promise<void> => {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      received.push(frame);
      await channel.send(frame);
    }
  };
  await using target = await attackedPeers({ handlers: [[protocol, handler]] });
  await using sender = await attackerOf(target, { member: true });
  const stream = await sender.open(protocol.name);
  const sent = Buffer.concat(frames.flatMap((frame) => [header(frame.length), frame]));
  const back: Uint8Array[] = [];
  let backBytes = 0;
  stream.addEventListener("message", ({ data }) => {
    back.push(data.slice());
    backBytes += data.byteLength;
  });
  stream.send(sent);
  await target.until(() => backBytes >= sent.length);
  assert.ok(Buffer.concat(back).equals(sent));
  assert.deepEqual(
    received.map(({ length }) => length),
    frames.map(({ length }) => length),
  );
});
test("what is received is not copied together, and what is sent goes out in one call", async () => {
  const seen = { callsCount: 0, copiedBytes: 0 };
  const done = Promise.withResolvers<[typeof seen, typeof seen]>();
  const handler = async (channel: Channel): Promise<void> => {
    assert.equal((await channel.receive())!.length, 2_000_000);
    const received = { ...seen };
    await channel.send(Buffer.alloc(1_000_000));
    done.resolve([received, { ...seen }]);
  };
  await using target = await attackedPeers({ handlers: [[protocol, handler]] });
  await using sender = await attackerOf(target, { member: true });
  const stream = await sender.open(protocol.name);
  const socket = socketOf(target.victim.peers);
  for (const name of ["_write", "_writev"] as const) {
    const write = (socket[name] as (...args: unknown[]) => void).bind(socket);
    Object.assign(socket, { [name]: (...args: unknown[]) => (seen.callsCount++, write(...args)) });
  }
  const { concat } = Buffer;
  Buffer.concat = (...args) => {
    const whole = concat(...args);
    seen.copiedBytes += whole.length;
    return whole;
  };
  try {
    stream.send(concat([header(2_000_000), Buffer.alloc(2_000_000)]));
    const [received, answered] = await done.promise;
    assert.ok(received.copiedBytes < 100_000, `${received.copiedBytes} bytes were copied together`);
    // Sixteen messages of Noise, each of five pieces, and updates of the stream's window.
    const callsCount = answered.callsCount - received.callsCount;
    assert.ok(callsCount < 40, `${callsCount} calls`);
  } finally {
    Buffer.concat = concat;
  }
});

test.run();
