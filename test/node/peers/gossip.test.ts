/**
 * News among members goes on while the connections under it change. Method: two transports on the loopback interface with
 * two connections between them, the older of them through a line that can go dead without either side being told.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Connection } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { joinProtocol } from "#ledger/join.ts";
import type { Libp2pNode } from "#node/peers/libp2p-node.ts";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import { startTestPeers, testMachine, TestMembership, type TestPeers, testPeers } from "#test/support/libp2p-peers.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("gossip", { timeoutMs: 60_000 });

const nodeOf = ({ peers }: TestPeers): Libp2pNode => (peers as unknown as { node: Libp2pNode }).node;

async function until(condition: () => boolean | Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await condition())) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Passes bytes on to a port, until it goes dead. */
class Line implements Disposable {
  private readonly sockets: Socket[] = [];
  private readonly server: Server;
  private isDead = false;

  private constructor(targetPort: number) {
    this.server = createServer((near) => {
      const far = connect(targetPort, "127.0.0.1");
      this.sockets.push(near, far);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) {
        socket.on("error", () => {});
        socket.on("close", () => {
          if (!this.isDead) [near, far].forEach((end) => end.destroy());
        });
      }
    });
  }

  static async to(targetPort: number): Promise<Line> {
    const line = new Line(targetPort);
    await once(line.server.listen(0, "127.0.0.1"), "listening");
    return line;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  goDead(): void {
    this.isDead = true;
    for (const socket of this.sockets) socket.unpipe().pause();
  }

  [Symbol.dispose](): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

/** Two members with two connections between them and gossip on the older, which goes over the line. */
class Pair implements AsyncDisposable {
  readonly sites: readonly [TestPeers, TestPeers];
  readonly line: Line;
  /** As each side has it. */
  readonly older: readonly [Connection, Connection];
  private readonly heard: readonly Set<string>[];

  private constructor(parts: { sites: Pair["sites"]; line: Line; older: Pair["older"] }) {
    this.sites = parts.sites;
    this.line = parts.line;
    this.older = parts.older;
    this.heard = parts.sites.map(({ peers }) => {
      const messages = new Set<string>();
      peers.onPublished((message) => messages.add(Buffer.from(message).toString()));
      return messages;
    });
  }

  static async make(signal: AbortSignal): Promise<Pair> {
    const membership = new TestMembership();
    const start = async (): Promise<TestPeers> => {
      const machine = testMachine();
      membership.members.add(machine.key);
      const site = await testPeers(membership, machine, { limits: { peerKeptCount: 0, peerRedialMinMs: 50 } });
      await startTestPeers(site);
      return site;
    };
    const [one, two] = [await start(), await start()];
    const direct = two.peers.addresses()[0]!;
    const line = await Line.to(Number(/\/tcp\/(\d+)/.exec(direct)![1]));
    const dial = (address: string): Promise<Connection> => nodeOf(one).dial(multiaddr(address), { force: true });
    const olderHere = await dial(direct.replace(/\/tcp\/\d+/, `/tcp/${line.port}`));
    await until(() => nodeOf(two).getConnections().length === 1, signal);
    const pair = new Pair({ sites: [one, two], line, older: [olderHere, nodeOf(two).getConnections()[0]!] });
    await pair.newsComesBothWays(signal);
    await dial(direct);
    await until(() => two.peers.connected().length === 1 && nodeOf(two).getConnections().length === 2, signal);
    await pair.newsComesBothWays(signal);
    return pair;
  }

  /** Of what is published from now on, again and again. */
  async newsComesBothWays(signal: AbortSignal): Promise<void> {
    const said = new Set<string>();
    await until(() => {
      for (const { peers } of this.sites) {
        const message = `${peers.self} ${Math.random()}`;
        said.add(message);
        peers.publish(Buffer.from(message));
      }
      return this.heard.every((messages) => !messages.isDisjointFrom(said));
    }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { peers } of this.sites) await peers[Symbol.asyncDispose]();
    this.line[Symbol.dispose]();
  }
}

test("news goes on both ways when one of two connections breaks", async ({ signal }) => {
  await using pair = await Pair.make(signal);
  pair.older[0].abort(new Error("the line broke"));
  await until(() => pair.older[1].status !== "open", signal);
  await pair.newsComesBothWays(signal);
  for (const site of pair.sites) assert.equal(nodeOf(site).getConnections().length, 1);
});

test("news goes on both ways when the two sides notice one after the other that a connection is dead", async ({
  signal,
}) => {
  await using pair = await Pair.make(signal);
  pair.line.goDead();
  // The first side begins anew on the other connection, and says there what it has subscribed to.
  const isTold = once(nodeOf(pair.sites[1]).services.gossip, "subscription-change", { signal });
  pair.older[0].abort(new Error("no answer"));
  await isTold;
  pair.older[1].abort(new Error("no answer"));
  await pair.newsComesBothWays(signal);
  for (const site of pair.sites) assert.equal(nodeOf(site).getConnections().length, 1);
});

test("a member that did not say yet what it speaks is asked again while it answers", async ({ signal }) => {
  const [here, there] = [new TestMembership(), new TestMembership()];
  const [asking, asked] = [testMachine(), testMachine()];
  here.members.add(asked.key);
  there.isJoinOpen = true;
  const two = await testPeers(there, asked, { limits: { peerKeptCount: 0 } });
  await using other = two.peers;
  other.serve(joinProtocol, async () => {});
  await startTestPeers(two);
  here.addresses.set(asked.key, other.addresses());
  const one = await testPeers(here, asking, { limits: { peerPingMs: 1_000 } });
  await using peers = one.peers;
  await peers.start();
  await until(() => two.log.lines.some((line) => line.includes("may not speak /ipfs/id/")), signal);
  there.members.add(asking.key);
  other.membershipChanged();
  const { peerStore } = nodeOf(one);
  const speaks = async (): Promise<boolean> =>
    (await peerStore.has(peerIdOf(asked.key))) &&
    (await peerStore.get(peerIdOf(asked.key))).protocols.includes(joinProtocol.name);
  await until(speaks, signal);
});

test.run();
