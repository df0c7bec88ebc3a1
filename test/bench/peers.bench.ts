/**
 * How fast a channel between two processes is on the loopback interface, against a libp2p stream with the same settings
 * and nothing on it: MB/s by wall clock, and by the receiver's processor time, which a busy machine disturbs less; it has the
 * most to do. Run: `node test/bench/peers.bench.ts`. The child process receives.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Stream, StreamMessageEvent } from "@libp2p/interface";
import type { Libp2pPeers } from "#node/peers/libp2p-peers.ts";
import type { Libp2pNode } from "#node/peers/libp2p-node.ts";
import type { ServedProtocols } from "#node/peers/served-protocols.ts";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import type { Protocol } from "#ledger/peers.ts";
import { startTestPeers, testMachine, TestMembership, testPeers } from "#test/support/libp2p-peers.ts";

const TRANSFER_BYTES = 128 * 1024 * 1024;
const ROUNDS_COUNT = 3;
const channelProtocol: Protocol = {
  name: "/costor/bench/1",
  maxFrameBytes: 4 * 1024 * 1024,
  maxChannelsPerPeerCount: 4,
};
const rawProtocolName = "/costor/bench-raw/1";
const [sender, receiver] = [testMachine(Buffer.alloc(32, 1)), testMachine(Buffer.alloc(32, 2))];
const membership = new TestMembership();
membership.members.add(sender.key).add(receiver.key);
/** What the transport is made of: the plain stream is one of the same node. */
const partsOf = (peers: Libp2pPeers) => peers as unknown as { node: Libp2pNode; served: ServedProtocols };

async function runReceiver(): Promise<void> {
  const test = await testPeers(membership, receiver);
  test.peers.serve(channelProtocol, async (channel) => {
    while ((await channel.receive()) !== undefined);
    await channel.send(Buffer.from("done"));
  });
  // As an own protocol, or it would be slowed down.
  partsOf(test.peers).served.names.add(rawProtocolName);
  await partsOf(test.peers).node.handle(rawProtocolName, (stream) => {
    let receivedBytes = 0;
    stream.addEventListener("message", ({ data }: StreamMessageEvent) => {
      receivedBytes += data.byteLength;
      if (receivedBytes === TRANSFER_BYTES) stream.send(Buffer.from("done"));
    });
  });
  await startTestPeers(test);
  process.send!(test.peers.addresses());
  process.on("message", () => process.send!(process.cpuUsage()));
  await once(process, "disconnect");
  await test.peers[Symbol.asyncDispose]();
}

async function sendRaw(peers: Libp2pPeers, frame: Buffer): Promise<void> {
  const stream: Stream = await partsOf(peers).node.dialProtocol(peerIdOf(receiver.key), rawProtocolName);
  const answered = new Promise((resolve) => stream.addEventListener("message", resolve, { once: true }));
  for (let sentBytes = 0; sentBytes < TRANSFER_BYTES; sentBytes += frame.length) {
    if (!stream.send(frame)) await new Promise((resolve) => stream.addEventListener("drain", resolve, { once: true }));
  }
  await answered;
  await stream.close();
}

async function sendFrames(peers: Libp2pPeers, frame: Buffer): Promise<void> {
  const channel = await peers.open(receiver.key, channelProtocol);
  for (let sentBytes = 0; sentBytes < TRANSFER_BYTES; sentBytes += frame.length) await channel.send(frame);
  await channel.close();
  await channel.receive();
}

async function runSender(): Promise<void> {
  const child = fork(import.meta.filename, ["receiver"], { execArgv: process.execArgv });
  const [addresses] = (await once(child, "message")) as [readonly string[]];
  membership.addresses.set(receiver.key, addresses);
  const test = await testPeers(membership, sender, { listen: [] });
  await test.peers.start();
  await (await test.peers.open(receiver.key, channelProtocol)).close();
  for (const [name, frameBytes] of [
    ["64 KiB", 64 << 10],
    ["1 MiB", 1 << 20],
    ["4 MiB", 4 << 20],
  ] as const) {
    const frame = Buffer.alloc(frameBytes, 7);
    const best = { stream: { wall: 0, cpu: 0 }, channel: { wall: 0, cpu: 0 } };
    for (let round = 0; round < ROUNDS_COUNT; round++) {
      for (const [kind, send] of [
        ["stream", sendRaw],
        ["channel", sendFrames],
      ] as const) {
        const rates = await measure(child, () => send(test.peers, frame));
        best[kind] = { wall: Math.max(best[kind].wall, rates.wall), cpu: Math.max(best[kind].cpu, rates.cpu) };
      }
    }
    const { stream, channel } = best;
    for (const by of ["wall", "cpu"] as const) {
      const share = ((100 * channel[by]) / stream[by]).toFixed(0);
      console.log(
        `${name} ${by}`.padEnd(14),
        `stream ${stream[by].toFixed(0)} MB/s, channel ${channel[by].toFixed(0)} MB/s, ${share} %`,
      );
    }
  }
  await test.peers[Symbol.asyncDispose]();
  child.disconnect();
}

async function measure(child: ChildProcess, run: () => Promise<void>): Promise<{ wall: number; cpu: number }> {
  const cpuBefore = await cpuMsOf(child);
  const before = performance.now();
  await run();
  const wallMs = performance.now() - before;
  return { wall: TRANSFER_BYTES / wallMs / 1000, cpu: TRANSFER_BYTES / ((await cpuMsOf(child)) - cpuBefore) / 1000 };
}

async function cpuMsOf(child: ChildProcess): Promise<number> {
  child.send("cpu");
  const [{ user, system }] = (await once(child, "message")) as [NodeJS.CpuUsage];
  return (user + system) / 1000;
}

await (process.argv[2] === "receiver" ? runReceiver() : runSender());
