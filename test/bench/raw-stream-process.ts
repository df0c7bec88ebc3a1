/**
 * One side of the scenario `replicate` by libp2p alone: a stream of the sites' own node, with Noise, Yamux and all settings, and nothing on
 * it. `receive` tells the addresses where it listens and counts; `send` is told them, and sends when it is told how many bytes.
 */
import { once } from "node:events";
import type { Stream, StreamMessageEvent } from "@libp2p/interface";
import type { Protocol } from "#ledger/peers.ts";
import type { Libp2pNode } from "#node/peers/libp2p-node.ts";
import type { Libp2pPeers } from "#node/peers/libp2p-peers.ts";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import type { ServedProtocols } from "#node/peers/served-protocols.ts";
import { startTestPeers, testMachine, TestMembership, testPeers } from "#test/support/libp2p-peers.ts";

const PROTOCOL = "/costor/bench-raw/1";
/** Of a channel that is opened only to connect. */
const connecting: Protocol = { name: "/costor/bench/1", maxFrameBytes: 1024, maxChannelsPerPeerCount: 1 };
const MESSAGE_BYTES = 1024 * 1024;
const [sender, receiver] = [testMachine(Buffer.alloc(32, 1)), testMachine(Buffer.alloc(32, 2))];
const membership = new TestMembership();
membership.members.add(sender.key).add(receiver.key);
/** What the transport is made of. */
const partsOf = (peers: Libp2pPeers) => peers as unknown as { node: Libp2pNode; served: ServedProtocols };

async function receive(): Promise<void> {
  const test = await testPeers(membership, receiver);
  test.peers.serve(connecting, async (channel) => channel.close());
  // As an own protocol, or it would be slowed down.
  partsOf(test.peers).served.names.add(PROTOCOL);
  await partsOf(test.peers).node.handle(PROTOCOL, (stream) => {
    let leftBytes: number | undefined;
    stream.addEventListener("message", ({ data }: StreamMessageEvent) => {
      const bytes = data instanceof Uint8Array ? data : data.subarray();
      if (leftBytes === undefined) leftBytes = Buffer.from(bytes.subarray(0, 8)).readDoubleLE();
      leftBytes -= bytes.length;
      if (leftBytes === 0) stream.send(Buffer.from("done"));
    });
  });
  await startTestPeers(test);
  process.send!(test.peers.addresses());
  await once(process, "disconnect");
  await test.peers[Symbol.asyncDispose]();
}

async function send(): Promise<void> {
  const [addresses] = (await once(process, "message")) as [readonly string[]];
  membership.addresses.set(receiver.key, addresses);
  const test = await testPeers(membership, sender, { listen: [] });
  await test.peers.start();
  await (await test.peers.open(receiver.key, connecting)).close();
  const stream: Stream = await partsOf(test.peers).node.dialProtocol(peerIdOf(receiver.key), PROTOCOL);
  process.send!("connected");
  const [bytes] = (await once(process, "message")) as [number];
  const answered = new Promise((resolve) => stream.addEventListener("message", resolve, { once: true }));
  const message = Buffer.alloc(MESSAGE_BYTES, 7);
  message.writeDoubleLE(bytes);
  for (let leftBytes = bytes; leftBytes > 0; leftBytes -= MESSAGE_BYTES) {
    if (stream.send(message.subarray(0, Math.min(leftBytes, MESSAGE_BYTES)))) continue;
    await new Promise((resolve) => stream.addEventListener("drain", resolve, { once: true }));
  }
  await answered;
  process.send!("done");
  await once(process, "disconnect");
  await test.peers[Symbol.asyncDispose]();
}

await (process.argv[2] === "receive" ? receive() : send());
