/**
 * Goal: nothing of a transport is made before it is started, and one that could not be started is made anew. Method: the
 * conformance suite over transports in memory; starts that fail.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Channel, Protocol } from "#ledger/peers.ts";
import { LateTransport } from "#node/federation/late-transport.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { testPeers } from "#test/conformance/peers.ts";
import { SimNetwork } from "#test/simulation/sim-network.ts";
import type { SimPeers } from "#test/simulation/sim-peers.ts";
import { testMachine } from "#test/support/libp2p-peers.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("late transport");
const protocol: Protocol = { name: "/test/1", maxFrameBytes: 1024, maxChannelsPerPeerCount: 2 };
const unreachable = (error: unknown) => isCostorError(error, "peer-unreachable");
const cannotListen = (error: unknown) => isCostorError(error, "listen-failed");

/** On a network, after so many starts that fail. */
function lateOn(network: SimNetwork, { failures = 0 } = {}) {
  const { seed, key } = testMachine(randomBytes(32));
  const made: { started: boolean; stopped: boolean }[] = [];
  const make = async () => {
    const state = { started: false, stopped: false };
    const fails = made.push(state) <= failures;
    const inner: SimPeers = network.join(key);
    return Object.assign(inner, {
      start: async () => {
        if (fails) throw new CostorError("listen-failed", "the port is taken");
        state.started = true;
        await Object.getPrototypeOf(inner).start.call(inner);
      },
      [Symbol.asyncDispose]: async () => {
        state.stopped = true;
        inner.stop();
      },
    });
  };
  return { made, key, transport: new LateTransport({ make }, { peerSeed: seed }) };
}

testPeers(test, async (count) => {
  const network = new SimNetwork();
  const peers = Array.from({ length: count }, () => lateOn(network).transport);
  return {
    peers,
    start: async () => void (await Promise.all(peers.map((peer) => peer.start()))),
    dispose: async () => void (await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()))),
  };
});

test("before its start nothing is made, nobody is reached, and its key is known", async () => {
  const { transport, key, made } = lateOn(new SimNetwork());
  const other = testMachine().key;
  transport.serve(protocol, async () => {});
  transport.setTopic("federation");
  transport.membershipChanged();
  transport.publish(Buffer.from("news"));
  assert.deepEqual([transport.self, transport.connected(), transport.addresses()], [key, [], []]);
  await assert.rejects(transport.open(other, protocol), unreachable);
  await assert.rejects(transport.dialStranger(other, [], protocol), unreachable);
  await transport[Symbol.asyncDispose]();
  assert.deepEqual(made, []);
});

test("after a start that failed the next one makes a transport that serves all and has the topic", async () => {
  const network = new SimNetwork();
  const { transport, made } = lateOn(network, { failures: 2 });
  const other = lateOn(network).transport;
  const greeted: string[] = [];
  transport.serve(protocol, async (channel: Channel) => void greeted.push(`served ${channel.peer}`));
  transport.onConnected((peer) => void greeted.push(`connected ${peer}`));
  transport.setTopic("federation");
  await assert.rejects(transport.start(), cannotListen);
  await assert.rejects(transport.open(other.self, protocol), unreachable);
  await assert.rejects(transport.start(), cannotListen);
  await transport.start();
  assert.deepEqual(
    made.map(({ started, stopped }) => [started, stopped]),
    [
      [false, true],
      [false, true],
      [true, false],
    ],
  );
  assert.equal(network.up(transport.self)?.topic, "federation");
  await other.start();
  const channel = await other.open(transport.self, protocol);
  assert.equal(await channel.receive(), undefined);
  assert.deepEqual(greeted, [`connected ${other.self}`, `served ${other.self}`]);
  await transport[Symbol.asyncDispose]();
  assert.equal(made.at(-1)!.stopped, true);
});

test("one that is ended while it starts is ended when it has started", async () => {
  const { transport, made } = lateOn(new SimNetwork());
  const starting = transport.start();
  await transport[Symbol.asyncDispose]();
  await starting;
  assert.deepEqual(made, [{ started: true, stopped: true }]);
});

test.run();
