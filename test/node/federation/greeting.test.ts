/**
 * Goal: a machine of a new epoch is let in by its certificate alone, and takes the place of the one before it; a flood of strangers costs
 * little. Method: whole federations over libp2p on the loopback interface.
 */
import assert from "node:assert/strict";
import type { Log } from "#ledger/entry.ts";
import { helloProtocol, sayHello } from "#ledger/hello.ts";
import { peerKeyOf } from "#ledger/membership.ts";
import { Greeting } from "#node/federation/greeting.ts";
import type { Transport } from "#node/federation/transport.ts";
import { Libp2pPeers } from "#node/peers/libp2p-peers.ts";
import { systemClock } from "#node/site/system-clock.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type SimIdentity, makeIdentity } from "#test/simulation/sim-identity.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { Replica } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";
import { FederationSite, membersOf, nextMachineOf } from "./federation-site.ts";

const test = suite("greeting", { timeoutMs: 60_000 });

/** Where each machine listens; all sites know it. */
const addresses = new Map<PeerKey, readonly string[]>();

class Running implements AsyncDisposable {
  readonly members: readonly SimIdentity[];
  readonly #running: { site: FederationSite; peers: Libp2pPeers }[] = [];

  constructor(count: number) {
    this.members = membersOf(count);
  }

  async start(identity: SimIdentity): Promise<FederationSite> {
    let peers: Libp2pPeers | undefined;
    const site = await FederationSite.open({
      ...{ identity, members: this.members, clock: systemClock },
      makeTransport: async (doorkeeper) =>
        (peers = await Libp2pPeers.create(
          {
            ...{ log: { info: () => undefined, warn: () => undefined }, ...doorkeeper },
            addressesOf: (peer) => addresses.get(peer) ?? [],
          },
          { peerSeed: identity.peerSeed, listen: ["/ip4/127.0.0.1/tcp/0"], mdns: false },
        )) as unknown as Transport,
    });
    await site.start();
    addresses.set(identity.peerKey, peers!.addresses());
    this.#running.push({ site, peers: peers! });
    return site;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { site } of this.#running) site.stop();
    for (const { peers } of this.#running) await peers[Symbol.asyncDispose]();
  }
}

const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await systemClock.sleep(20);
};
async function untilEqual(one: FederationSite, other: FederationSite): Promise<void> {
  const digestOf = ({ federation }: FederationSite): string => federation.parts.ledger.digest();
  while (digestOf(one) !== digestOf(other)) {
    await one.federation.parts.sync.with(other.identity.peerKey);
    await other.federation.parts.sync.with(one.identity.peerKey);
  }
}

const connectedOf = ({ federation }: FederationSite): readonly PeerKey[] => federation.parts.transport.connected();

test("a machine of a new epoch becomes its site's at all members, and the old one is disconnected", async () => {
  await using running = new Running(3);
  const [one, two, old] = running.members as [SimIdentity, SimIdentity, SimIdentity];
  const sites = [await running.start(one), await running.start(two), await running.start(old)] as const;
  await until(() => sites.every((site) => connectedOf(site).length === 2));
  const next = nextMachineOf(2);
  const recovered = await running.start(next);
  for (const site of [sites[0], sites[1]]) {
    await until(() => connectedOf(site).includes(next.peerKey) && !connectedOf(site).includes(old.peerKey));
    assert.equal(site.federation.parts.membership.peerOf(next.siteId), next.peerKey);
  }
  const { ledger } = sites[0].federation.parts;
  await until(() => ledger.statement(next.siteId, "profile", "")?.logId === next.log.id);
  assert.equal(recovered.federation.parts.ownLog.isReady, true);
  // It signs at once what it has, and what is spread meanwhile may be lost.
  await untilEqual(sites[1], recovered);
});

test("a stranger, and a machine of a site that it is not, get no further", async () => {
  await using running = new Running(2);
  const [one] = running.members as [SimIdentity];
  const site = await running.start(one);
  for (const stranger of [makeIdentity("stranger", 2), makeIdentity("site 1", 1)]) {
    const isMember = running.members.some(({ siteId }) => siteId === stranger.siteId);
    const peers = await Libp2pPeers.create(
      {
        log: { info: () => undefined, warn: () => undefined },
        ...{ mayConnect: () => false, members: () => [], strangerProtocols: () => [], addressesOf: () => [] },
        announcedAddresses: () => [],
      },
      { peerSeed: makeIdentity("thief", 1).peerSeed, listen: [], mdns: false },
    );
    await peers.start();
    try {
      const channel = await peers.dialStranger(one.peerKey, addresses.get(one.peerKey)!, helloProtocol);
      // Its certificate, and not its key.
      await assert.rejects(sayHello(channel, stranger.log), (error) => isCostorError(error, "peer-unreachable"));
      assert.equal(isMember, site.federation.parts.membership.peerOf(stranger.siteId) !== undefined);
      assert.deepEqual(connectedOf(site), []);
    } finally {
      await peers[Symbol.asyncDispose]();
    }
  }
});

test("a first machine that came back and that nobody answers says hello within a quarter of a minute, and one that is answered does not", async () => {
  for (const isAnswered of [false, true]) {
    const replica = await Replica.found("one");
    const other = makeIdentity("other", 1);
    const clock = new ManualClock();
    const asked: PeerKey[] = [];
    const stop = new AbortController();
    const greeting = new Greeting(
      {
        ...{ ledger: replica.ledger, clock, rng: new SeededRng("greeting"), isAnswered: () => isAnswered },
        membership: {
          ...{ roster: {}, sites: () => [replica.siteId, other.siteId] },
          ...{ peerOf: () => other.peerKey, peerMayConnect: () => true },
        } as never,
        transport: {
          serve: () => undefined,
          open: (peer) => {
            asked.push(peer);
            return Promise.reject(new CostorError("peer-unreachable", "it lets nobody in"));
          },
          connected: () => [],
          onConnected: () => undefined,
          membershipChanged: () => undefined,
        },
        onKnown: () => undefined,
        onEvent: () => undefined,
      },
      { log: replica.author.log },
    );
    const greets = greeting.start(stop.signal);
    await new Promise(setImmediate);
    assert.deepEqual(asked, []);
    clock.pass(15_000);
    await new Promise(setImmediate);
    assert.deepEqual(asked, isAnswered ? [] : [other.peerKey]);
    stop.abort(new Error("enough"));
    await greets;
  }
});

test("a new machine that somebody knows goes on with those that it did not reach where sites are few, and of many leaves it to those that it is connected with", async () => {
  for (const sitesCount of [3, limits.peerKeptCount + 1]) {
    const replica = await Replica.found("one");
    const self = makeIdentity("one", 2);
    const others = Array.from({ length: sitesCount - 1 }, (_, at) => makeIdentity(`other ${at}`, 1));
    const clock = new ManualClock();
    const asked: PeerKey[] = [];
    const stop = new AbortController();
    const greeting = new Greeting(
      {
        ...{ ledger: replica.ledger, clock, rng: new SeededRng("greeting"), isAnswered: () => true },
        membership: {
          ...{ roster: {}, sites: () => [self.siteId, ...others.map(({ siteId }) => siteId)] },
          peerOf: (site: string) => others.find(({ siteId }) => siteId === site)?.peerKey,
          peerMayConnect: () => true,
        } as never,
        transport: {
          serve: () => undefined,
          open: async (peer) => {
            asked.push(peer);
            if (peer !== others[0]!.peerKey) throw new CostorError("peer-unreachable", "it is cut off");
            const { channels } = channelPair(helloProtocol);
            await channels[1].send(encodeCbor({ state: "known" }));
            return channels[0];
          },
          connected: () => [others[0]!.peerKey],
          onConnected: () => undefined,
          membershipChanged: () => undefined,
        },
        onKnown: () => undefined,
        onEvent: () => undefined,
      },
      { log: self.log },
    );
    const greets = greeting.start(stop.signal);
    const round = async (): Promise<ReadonlySet<PeerKey>> => {
      asked.length = 0;
      clock.pass(3600_000);
      await new Promise(setImmediate);
      return new Set(asked);
    };
    await new Promise(setImmediate);
    assert.ok(asked.includes(others[0]!.peerKey), "one knows it");
    assert.deepEqual(await round(), new Set(sitesCount === 3 ? [others[1]!.peerKey] : []));
    stop.abort(new Error("enough"));
    await greets;
  }
});

test("whom a new machine did not reach is told as soon as there is a connection, and who has refused it when others are asked again", async () => {
  const replica = await Replica.found("one");
  const self = makeIdentity("one", 2);
  const [knowing, refusing] = [makeIdentity("knowing", 1), makeIdentity("refusing", 1)];
  const clock = new ManualClock();
  const known: PeerKey[] = [];
  let meet: ((peer: PeerKey) => void) | undefined;
  let answers: ReadonlyMap<PeerKey, "known" | "refused"> = new Map();
  const asked: PeerKey[] = [];
  const stop = new AbortController();
  const greeting = new Greeting(
    {
      ...{ ledger: replica.ledger, clock, rng: new SeededRng("greeting"), isAnswered: () => true },
      membership: {
        ...{ roster: {}, sites: () => [self.siteId, knowing.siteId, refusing.siteId], peerMayConnect: () => true },
        peerOf: (site: string) => [knowing, refusing].find(({ siteId }) => siteId === site)?.peerKey,
      } as never,
      transport: {
        ...{ serve: () => undefined, connected: () => [], membershipChanged: () => undefined },
        onConnected: (listener) => void (meet = listener),
        open: async (peer) => {
          asked.push(peer);
          const state = answers.get(peer);
          if (state === undefined) throw new CostorError("peer-unreachable", "it does not answer yet");
          const { channels } = channelPair(helloProtocol);
          await channels[1].send(encodeCbor({ state }));
          return channels[0];
        },
      },
      onKnown: (peer) => void known.push(peer),
      onEvent: () => undefined,
    },
    { log: self.log },
  );
  const greets = greeting.start(stop.signal);
  await new Promise(setImmediate);
  assert.deepEqual(new Set(asked.splice(0)), new Set([knowing.peerKey, refusing.peerKey]));
  answers = new Map([
    [knowing.peerKey, "known"],
    [refusing.peerKey, "refused"],
  ]);
  for (const _ of [1, 2]) {
    meet!(knowing.peerKey);
    meet!(refusing.peerKey);
    await new Promise(setImmediate);
  }
  assert.deepEqual(known, [knowing.peerKey]);
  assert.deepEqual(asked.splice(0), [knowing.peerKey, refusing.peerKey], "each once");
  clock.pass(15_000);
  await new Promise(setImmediate);
  assert.ok(asked.includes(refusing.peerKey), "the next round asks it");
  stop.abort(new Error("enough"));
  await greets;
});

test("only so many hellos that name a site of the federation are listened to in a minute, and others keep nobody out", async () => {
  const replica = await Replica.found("one");
  const clock = new ManualClock();
  let handler: Parameters<Transport["serve"]>[1] | undefined;
  new Greeting(
    {
      ...{ ledger: replica.ledger, membership: replica.membership, clock, rng: new SeededRng("greeting") },
      transport: {
        serve: ({ name }, serving) => void (handler = name === helloProtocol.name ? serving : handler),
        open: () => assert.fail("nobody is asked"),
        connected: () => [],
        onConnected: () => undefined,
        membershipChanged: () => undefined,
      },
      isAnswered: () => true,
      onKnown: () => undefined,
      onEvent: () => undefined,
    },
    { log: replica.author.log },
  );
  const { log } = makeIdentity("stranger", 2);
  const hello = async (said: Log): Promise<boolean> => {
    const { channels } = channelPair(helloProtocol, { peers: [replica.author.log.id as never, peerKeyOf(said)] });
    const [answer] = await Promise.allSettled([
      sayHello(channels[0], said),
      handler!(channels[1]).finally(() => channels[1].abort()),
    ]);
    return answer.status === "fulfilled" && answer.value.isKnown;
  };
  for (let count = 0; count < 2 * limits.strangersPerMinuteCount; count++) assert.equal(await hello(log), false);
  const nextMachine = (epoch: number): Log => new LedgerAuthor("one", epoch).log;
  assert.ok(await hello(nextMachine(2)), "strangers have kept nobody out");
  for (let count = 1; count < limits.strangersPerMinuteCount; count++) assert.ok(await hello(nextMachine(2)));
  assert.equal(await hello(nextMachine(3)), false);
  clock.pass(60_000);
  assert.ok(await hello(nextMachine(3)));
});

test.run();
