/**
 * Goal: the network in memory keeps the contract of `Peers`, and its faults do what they say. Method: the conformance
 * suite; each fault alone.
 */
import assert from "node:assert/strict";
import type { Channel, Protocol } from "#ledger/peers.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parsePeerKey } from "#protocol/ids.ts";
import { testPeers } from "#test/conformance/peers.ts";
import { suite } from "#test/support/suite.ts";
import { SimNetwork } from "./sim-network.ts";

const test = suite("network in memory");
const protocol: Protocol = { name: "/test/1", maxFrameBytes: 1024, maxChannelsPerPeerCount: 2 };
const keyOf = (number: number) => parsePeerKey(String(number).padStart(64, "0"));
const unreachable = (error: unknown) => isCostorError(error, "peer-unreachable");
const textOf = (frame: Uint8Array | undefined) => (frame === undefined ? undefined : Buffer.from(frame).toString());

testPeers(test, async (count) => {
  const network = new SimNetwork();
  const peers = Array.from({ length: count }, (_, number) => network.join(keyOf(number)));
  return {
    peers,
    start: async () => peers.forEach((machine) => machine.start()),
    dispose: async () => peers.forEach((machine) => machine.stop()),
  };
});

async function echo(channel: Channel): Promise<void> {
  for (let frame = await channel.receive(); frame; frame = await channel.receive()) await channel.send(frame);
}

test("frames go both ways in order, and end when the other side has closed", async () => {
  const network = new SimNetwork();
  const [one, other] = [network.join(keyOf(1)), network.join(keyOf(2))];
  other.serve(protocol, echo);
  one.start();
  other.start();
  assert.deepEqual(one.connected(), [other.self]);
  const channel = await one.open(other.self, protocol);
  const frame = Buffer.from("a");
  await channel.send(frame);
  frame.fill("b");
  await channel.send(frame);
  await channel.close();
  assert.deepEqual([await channel.receive(), await channel.receive(), await channel.receive()].map(textOf), [
    "a",
    "b",
    undefined,
  ]);
  await assert.rejects(channel.send(frame), unreachable);
});

test("a machine that leaves breaks its channels and is not reached", async () => {
  const network = new SimNetwork();
  const [one, other] = [network.join(keyOf(1)), network.join(keyOf(2))];
  other.serve(protocol, echo);
  one.start();
  other.start();
  const channel = await one.open(other.self, protocol);
  const waiting = channel.receive();
  other.stop();
  await assert.rejects(waiting, unreachable);
  await assert.rejects(one.open(other.self, protocol), unreachable);
  assert.deepEqual(one.connected(), []);
});

test("a link that is cut one way breaks channels over it, and mends", async () => {
  const network = new SimNetwork();
  const [one, other] = [network.join(keyOf(1)), network.join(keyOf(2))];
  const connections: string[] = [];
  one.onConnected((peer) => void connections.push(peer));
  other.serve(protocol, echo);
  one.start();
  other.start();
  const channel = await one.open(other.self, protocol);
  network.cut(other.self, one.self);
  await channel.send(Buffer.from("a"));
  await assert.rejects(channel.receive(), unreachable);
  await assert.rejects(one.open(other.self, protocol), unreachable);
  network.mend(other.self, one.self);
  await (await one.open(other.self, protocol)).close();
  assert.deepEqual(connections, [other.self, other.self]);
});

test("a writer waits for a slow reader", async () => {
  const network = new SimNetwork();
  const [one, other] = [network.join(keyOf(1)), network.join(keyOf(2))];
  const large = { ...protocol, maxFrameBytes: 1 << 20 };
  const accepted = Promise.withResolvers<Channel>();
  const done = Promise.withResolvers<void>();
  other.serve(large, async (channel) => {
    accepted.resolve(channel);
    await done.promise;
  });
  one.start();
  other.start();
  const channel = await one.open(other.self, large);
  let isSent = false;
  const sent = channel.send(Buffer.alloc(1 << 20)).then(() => (isSent = true));
  const theirs = await accepted.promise;
  await new Promise(setImmediate);
  assert.equal(isSent, false);
  assert.equal((await theirs.receive())?.length, 1 << 20);
  await sent;
  done.resolve();
  assert.equal(await channel.receive(), undefined);
});

test("what is published reaches the others and not its sender", async () => {
  const network = new SimNetwork();
  const machines = [1, 2, 3].map((number) => network.join(keyOf(number)));
  const heard: number[] = [];
  for (const [index, machine] of machines.entries()) {
    machine.onPublished(() => void heard.push(index));
    machine.start();
  }
  machines[0]!.publish(Buffer.from("news"));
  await new Promise(setImmediate);
  assert.deepEqual(heard, [1, 2]);
});

test.run();
