/**
 * How sites reach each other: kept connections, new addresses, relays for those that nobody can dial, WebSockets, and the
 * way in for one that joins. Method: transports on the loopback interface; one that listens nowhere cannot be dialled.
 */
import assert from "node:assert/strict";
import { multiaddr } from "@multiformats/multiaddr";
import { isCostorError } from "#protocol/errors.ts";
import { joinProtocol } from "#ledger/join.ts";
import type { Channel, Protocol } from "#ledger/peers.ts";
import type { Libp2pNode } from "#node/peers/libp2p-node.ts";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import type { Libp2pPeersInit } from "#node/peers/libp2p-peers.ts";
import {
  startTestPeers,
  type TestMachine,
  testMachine,
  TestMembership,
  type TestPeers,
  testPeers,
} from "#test/support/libp2p-peers.ts";
import { echoAll } from "#test/support/hostile-peer.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("reaching peers", { timeoutMs: 30_000 });
const echo: Protocol = { name: "/costor/test/1", maxFrameBytes: 4 * 1024 * 1024, maxChannelsPerPeerCount: 4 };

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Started peers that end with the test. */
class Sites implements AsyncDisposable {
  readonly membership = new TestMembership();
  private readonly started: TestPeers[] = [];

  async start(machine: TestMachine, init: Partial<Libp2pPeersInit> = {}): Promise<TestPeers> {
    this.membership.members.add(machine.key);
    return this.startStranger(machine, this.membership, init);
  }

  async startStranger(
    machine: TestMachine,
    membership: TestMembership,
    init: Partial<Libp2pPeersInit> = {},
  ): Promise<TestPeers> {
    const limits = { peerRedialMinMs: 20, ...init.limits };
    const site = await testPeers(membership, machine, { ...init, limits });
    site.peers.serve(echo, echoAll);
    site.peers.serve(joinProtocol, echoAll);
    await startTestPeers(site);
    this.started.push(site);
    return site;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { peers } of this.started) await peers[Symbol.asyncDispose]();
  }
}

async function assertEchoes(channel: Channel, frame: Buffer): Promise<void> {
  const sent = channel.send(frame);
  assert.ok(frame.equals((await channel.receive())!));
  await sent;
}

test("members connect by themselves, and again when the other has come back elsewhere", async () => {
  await using sites = new Sites();
  const [first, second] = [testMachine(), testMachine()];
  const one = await sites.start(first);
  const two = await sites.start(second, { listen: ["/ip4/127.0.0.1/tcp/0"] });
  await until(() => two.peers.connected().includes(first.key));
  await until(() => one.peers.connected().includes(second.key));
  await two.peers[Symbol.asyncDispose]();
  await until(() => one.peers.connected().length === 0);
  // It dials nobody itself now.
  const back = await sites.start(second, { limits: { peerKeptCount: 0 } });
  one.peers.membershipChanged();
  await until(() => one.peers.connected().includes(second.key));
  await until(() => back.peers.connected().includes(first.key));
});

test("a site that announces addresses is known by these alone to those that are connected", async () => {
  await using sites = new Sites();
  const [first, second] = [testMachine(), testMachine()];
  const door = "/dns4/backup.school.example/tcp/8444";
  sites.membership.announced.set(first.key, [door, "not an address"]);
  const one = await sites.start(first);
  assert.deepEqual(one.peers.addresses(), [door]);
  const two = await sites.start(second, { limits: { peerKeptCount: 0 } });
  one.peers.membershipChanged();
  await until(() => two.peers.connected().includes(first.key));
  const { peerStore } = (two.peers as unknown as { node: Libp2pNode }).node;
  const known = async () => (await peerStore.get(peerIdOf(first.key))).addresses.map(({ multiaddr }) => `${multiaddr}`);
  let addresses: string[] = [];
  while (addresses.length === 0) {
    await new Promise(setImmediate);
    addresses = await known().catch(() => []);
  }
  assert.deepEqual(addresses, [door]);
});

test("of many members some are kept connections to", async () => {
  await using sites = new Sites();
  const few = { limits: { peerKeptCount: 2 } };
  const listening = await Promise.all(
    Array.from({ length: 5 }, () => sites.start(testMachine(), { limits: { peerKeptCount: 0 } })),
  );
  const one = await sites.start(testMachine(), few);
  await until(() => one.peers.connected().length === 2);
  const channel = await one.peers.open(
    listening.find(({ peers }) => !one.peers.connected().includes(peers.self))!.peers.self,
    echo,
  );
  await assertEchoes(channel, Buffer.from("on need"));
  await channel.close();
});

test("two sites that cannot be dialled reach each other through one that can", async () => {
  await using sites = new Sites();
  const relay = await sites.start(testMachine());
  const hidden = { listen: [], limits: { peerRelaysCount: 1 } };
  const one = await sites.start(testMachine(), hidden);
  const two = await sites.start(testMachine(), hidden);
  await until(() => relay.peers.connected().length === 2);
  await until(() => two.peers.connected().includes(one.peers.self));
  const channel = await one.peers.open(two.peers.self, echo);
  // More than libp2p's relays allow by default.
  for (let count = 0; count < 4; count++) await assertEchoes(channel, Buffer.alloc(1024 * 1024, count));
  await channel.close();
  assert.equal(await channel.receive(), undefined);
});

test("a connection through a relay gives way to a direct one once an address is known", async () => {
  await using sites = new Sites();
  await sites.start(testMachine());
  const one = await sites.start(testMachine(), { limits: { peerKeptCount: 1, peerRelaysCount: 1 } });
  const addresses = one.peers.addresses();
  sites.membership.addresses.delete(one.peers.self);
  const two = await sites.start(testMachine(), { listen: [] });
  const { node } = two.peers as unknown as { node: Libp2pNode };
  const isDirect = (direct: boolean): boolean =>
    node.getConnections(peerIdOf(one.peers.self)).some((connection) => connection.direct === direct);
  await until(() => isDirect(false));
  sites.membership.addresses.set(one.peers.self, addresses);
  two.peers.membershipChanged();
  await until(() => isDirect(true));
  const channel = await two.peers.open(one.peers.self, echo);
  await assertEchoes(channel, Buffer.from("directly"));
  await channel.close();
});

test("a site that is relayed to tells its addresses through the relay", async () => {
  await using sites = new Sites();
  const relay = await sites.start(testMachine());
  const hidden = await sites.start(testMachine(), { listen: [] });
  let changedCount = 0;
  hidden.peers.onAddressesChanged(() => changedCount++);
  const isRelayed = (address: string): boolean => address.includes("/p2p-circuit");
  await until(() => hidden.peers.addresses().some(isRelayed));
  await until(() => changedCount > 0);
  const relayed = hidden.peers.addresses().filter(isRelayed);
  const port = multiaddr(relay.peers.addresses()[0]!)
    .getComponents()
    .find(({ name }) => name === "tcp")!.value!;
  assert.ok(relayed.every((address) => address.includes(`/tcp/${port}/`)));
});

test("a site that has been expelled is not relayed to any more", async () => {
  await using sites = new Sites();
  const relay = await sites.start(testMachine());
  const hidden = { listen: [], limits: { peerRelaysCount: 1 } };
  const one = await sites.start(testMachine(), hidden);
  const two = await sites.start(testMachine(), hidden);
  await until(() => two.peers.connected().includes(one.peers.self));
  sites.membership.members.delete(two.peers.self);
  relay.peers.membershipChanged();
  await until(() => !relay.peers.connected().includes(two.peers.self));
  await until(() => !one.peers.connected().includes(two.peers.self));
  await assert.rejects(one.peers.open(two.peers.self, echo), (error) => isCostorError(error, "peer-unreachable"));
});

test("a site is reached by WebSocket too", async () => {
  await using sites = new Sites();
  const one = await sites.start(testMachine(), { listen: ["/ip4/127.0.0.1/tcp/0/ws"], limits: { peerKeptCount: 0 } });
  assert.ok(one.peers.addresses().every((address) => address.includes("/ws")));
  const two = await sites.start(testMachine(), { listen: [], limits: { peerKeptCount: 0 } });
  const channel = await two.peers.open(one.peers.self, echo);
  await assertEchoes(channel, Buffer.alloc(3 * 1024 * 1024, 5));
  await channel.close();
});

test("an address that is another's is no way in", async () => {
  await using sites = new Sites();
  const quiet = { limits: { peerKeptCount: 0, peerRelaysCount: 0 } };
  const one = await sites.start(testMachine(), quiet);
  const two = await sites.start(testMachine(), quiet);
  const absent = testMachine();
  sites.membership.members.add(absent.key);
  const [address] = two.peers.addresses();
  const bare = address!.replace(/\/p2p\/.*/, "");
  sites.membership.addresses.set(absent.key, ["not an address", address!, bare]);
  await assert.rejects(one.peers.open(absent.key, echo), (error) => isCostorError(error, "peer-unreachable"));
});

test("a site that joins reaches its inviter's join protocol only, and not once the invitation is used", async () => {
  await using sites = new Sites();
  const inviter = await sites.start(testMachine());
  const outside = new TestMembership();
  const joiner = await sites.startStranger(testMachine(), outside);
  const addresses = inviter.peers.addresses();
  const unreachable = (error: unknown): boolean => isCostorError(error, "peer-unreachable");
  await assert.rejects(async () => {
    const refused = await joiner.peers.dialStranger(inviter.peers.self, addresses, joinProtocol);
    await refused.send(Buffer.from("?"));
    await refused.receive();
  }, unreachable);
  sites.membership.isJoinOpen = true;
  const channel = await joiner.peers.dialStranger(inviter.peers.self, addresses, joinProtocol);
  assert.equal(channel.peer, inviter.peers.self);
  await assertEchoes(channel, Buffer.from("secret"));
  await assert.rejects(joiner.peers.open(inviter.peers.self, echo), unreachable);
  assert.deepEqual([inviter.peers.connected(), joiner.peers.connected()], [[], []]);
  await channel.close();
  assert.equal(await channel.receive(), undefined);
  // Both know each other now.
  sites.membership.members.add(joiner.peers.self);
  outside.members.add(inviter.peers.self).add(joiner.peers.self);
  outside.addresses.set(inviter.peers.self, addresses);
  inviter.peers.membershipChanged();
  joiner.peers.membershipChanged();
  const member = await joiner.peers.open(inviter.peers.self, echo);
  await assertEchoes(member, Buffer.from("member"));
  await member.close();
});

test("without a topic nothing is spread, and with one that is set later it is", async () => {
  await using sites = new Sites();
  const one = await sites.start(testMachine(), { topic: undefined });
  const two = await sites.start(testMachine(), { topic: undefined });
  const heard: string[] = [];
  two.peers.onPublished((message) => heard.push(Buffer.from(message).toString()));
  await until(() => one.peers.connected().length === 1);
  one.peers.publish(Buffer.from("too early"));
  one.peers.setTopic("federation");
  two.peers.setTopic("federation");
  let count = 0;
  await until(() => {
    one.peers.publish(Buffer.from(`news ${count++}`));
    return heard.length > 0;
  });
  assert.ok(!heard.includes("too early"));
});

test("each port that is taken is said so in a line, and those that are not are not named", async () => {
  await using sites = new Sites();
  const one = await sites.start(testMachine());
  const taken = one.peers.addresses()[0]!.replace(/\/p2p\/.*/, "");
  const port = /\d+$/.exec(taken)![0];
  const told = `127.0.0.1, port ${port} (listen EADDRINUSE: address already in use 127.0.0.1:${port})`;
  for (const [listen, where] of [
    [[taken, "/ip4/127.0.0.1/tcp/0/ws"], told],
    [[taken, `${taken}/ws`], `${told}, nor on ${told}`],
  ] as const) {
    const two = await testPeers(sites.membership, testMachine(), { listen });
    await assert.rejects(two.peers.start(), (error) => {
      assert.ok(isCostorError(error, "listen-failed"));
      assert.equal(error.message, `other sites cannot be listened for on ${where}`);
      return error.cause === undefined;
    });
    await two.peers[Symbol.asyncDispose]();
  }
});

test.run();
