/**
 * Goal: what somebody gives up for thirty days who has a site's machine and its keys comes back whole to the site's next machine, and nothing
 * of it is dropped later; after the lock it is gone. Method: whole sites in virtual time.
 */
import assert from "node:assert/strict";
import { sliceOf } from "#ledger/slice.ts";
import type { StatementOf } from "#ledger/statements.ts";
import { Takeover, takeoverFact } from "#node/federation/takeover.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import { AgentRegistry, readAgents } from "#node/site/agent-registry.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type PrimeId, makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import { type FederationSite, nextMachineOf } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";

const test = suite("takeover", { timeoutMs: 600_000 });

const agent = parseAgentId(makeUuidV7(1));
const snapshots = [2, 3, 4].map((at) => `${agent}/${parseSnapshotId(makeUuidV7(at))}`);

const valueOf = (text: string): Uint8Array => encodeCbor({ text });
/** Of one that an account of the site has removed. */
const removedValueOf = (text: string): Uint8Array => encodeCbor({ text, expiry: { cause: "person" } });

interface World {
  readonly world: FederationWorld;
  readonly victim: FederationSite;
  readonly others: readonly FederationSite[];
  readonly primes: readonly PrimeId[];
}

/** A site whose snapshots are safe at others. */
async function safeSite(): Promise<World> {
  const world = await FederationWorld.of(4);
  const [victim, ...others] = world.sites as [FederationSite, ...FederationSite[]];
  await world.run(HOUR_MS);
  const enrolled = (await AgentRegistry.open(victim.store)).prepare({
    ...{ id: agent, name: "office", hostName: "office", enrolledMs: 5 },
  });
  await victim.store.appendFacts([
    enrolled.fact,
    ...snapshots.map((key, at) => ({
      ...{ kind: "snapshot", key },
      value: (at === 2 ? removedValueOf : valueOf)(`honest ${key}`),
    })),
  ]);
  await victim.federation.siteChanged("agent", agent);
  for (const key of snapshots) await victim.federation.siteChanged("snapshot", key);
  assert.equal(victim.federation.parts.ledger.statements(victim.identity.siteId, "snapshot").length, snapshots.length);
  const primes = await victim.backUp("before", 60);
  victim.federation.parts.replication.now();
  await world.run(3 * HOUR_MS);
  assert.deepEqual(await heldBy(others, victim), primes.toSorted());
  return { world, victim, others, primes };
}

/** What others keep of a site's, all together. */
async function heldBy(others: readonly FederationSite[], { identity }: FederationSite): Promise<PrimeId[]> {
  const lists = await Promise.all(others.map(({ store }) => Array.fromAsync(store.kept(identity.siteId))));
  return [...new Set(lists.flat(2))].toSorted();
}

/** By the site's own machine: whoever has it has its keys. */
async function giveUp({ federation, store, identity }: FederationSite): Promise<void> {
  const { entries, ledger, ownLog, siteStatements } = federation.parts;
  const { siteId } = identity;
  // A snapshot that is another one, before the honest one is withdrawn.
  const [agentId, snapshotId] = snapshots[0]!.split("/");
  const place = { kind: "snapshot", agent: parseAgentId(agentId), snapshot: parseSnapshotId(snapshotId) } as const;
  await entries.write({ ...place, sealed: Buffer.from(valueOf("another")) });
  await siteStatements.withdrawSnapshots(snapshots.slice(1));
  const agents = ledger.statements(siteId, "agent");
  await entries.withdrawIdle({ also: agents, leastCount: 1 });
  await store.appendFacts([
    { kind: "agent", key: agent, value: undefined },
    ...snapshots.map((key) => ({ kind: "snapshot", key, value: undefined })),
  ]);
  const ids = (await Array.fromAsync(store.kept(siteId))).flat();
  await store.release(siteId, ids);
  federation.parts.own.collected();
  assert.equal(ownLog.suspicion, undefined);
}

/** And what he leaves holders names nobody. */
async function placeNowhere({ federation }: FederationSite): Promise<void> {
  const placements: StatementOf<"placement">[] = [];
  for (let slice = 0; slice < 16; slice++) placements.push({ kind: "placement", slice, holders: [] });
  await federation.parts.entries.writeAll(placements);
}

/** The site's next machine, with the kit. */
async function takeBack({ world }: World): Promise<FederationSite> {
  const store = createMemoryStore();
  await store.appendFacts([takeoverFact]);
  return world.start(nextMachineOf(0), store);
}

const ownIds = async ({ store, identity }: FederationSite): Promise<PrimeId[]> =>
  (await Array.fromAsync(store.kept(identity.siteId))).flat().toSorted();

test("a machine that was stopped when all was back, and had not noted so, ends the takeover when it starts", async () => {
  const world = await FederationWorld.of(2);
  const [site] = world.sites as [FederationSite];
  await world.run(HOUR_MS);
  world.crash(site);
  await site.store.appendFacts([takeoverFact]);
  const again = await world.start(site.identity, site.store);
  await world.run(DAY_MS);
  assert.equal((await Takeover.open(again.store)).isOpen, false);
  assert.deepEqual(again.federation.blocking(), []);
});

test("thirty days after a takeover everything older comes back, and the thief is heard no more", async () => {
  const all = await safeSite();
  const { world, victim, others, primes } = all;
  await giveUp(victim);
  await world.run(2 * DAY_MS);
  const { ledger } = others[0]!.federation.parts;
  const { siteId } = victim.identity;
  const slice = sliceOf(primes[0]!);
  assert.equal(ledger.statement(siteId, "live-set", `${slice}`)!.statement.hash, hashOfSet([]), "given up");
  await placeNowhere(victim);
  for (let day = 2; day < 30; day++) {
    await world.run(DAY_MS);
    await placeNowhere(victim);
  }
  const next = await takeBack(all);
  await world.run(6 * HOUR_MS);
  assert.deepEqual(await ownIds(next), primes);
  assert.equal((await next.store.getMany(primes)).filter((stored) => stored !== undefined).length, primes.length);
  for (const key of snapshots)
    assert.deepEqual(Buffer.from((await next.store.fact("snapshot", key))!), Buffer.from(valueOf(`honest ${key}`)));
  const agents = await Array.fromAsync(readAgents(next.store));
  assert.deepEqual(
    agents.map(({ id, revokedMs }) => [id, revokedMs !== undefined]),
    [[agent, true]],
  );
  assert.equal(await next.store.fact("takeover", ""), undefined, "it is over");
  const [held] = ledger.statements(siteId, "snapshot");
  assert.equal(held!.logId, next.identity.log.id, "told anew");
  assert.equal(ledger.statements(siteId, "snapshot").length, snapshots.length);
  // The thief goes on, as far as he can.
  await placeNowhere(victim).catch(() => undefined);
  for (const { federation } of others) {
    assert.equal(federation.parts.membership.peerMayConnect(victim.identity.peerKey), false);
    assert.equal(federation.parts.ledger.currentLog(siteId)!.log.id, next.identity.log.id);
  }
  await world.run(60 * DAY_MS);
  assert.deepEqual(await heldBy(others, next), primes);
  assert.deepEqual(await ownIds(next), primes);
});

test("what was given up for longer than the lock is gone, and the site goes on without", async () => {
  const all = await safeSite();
  const { world, victim, others } = all;
  await giveUp(victim);
  await world.run(93 * DAY_MS);
  assert.deepEqual(await heldBy(others, victim), []);
  const next = await takeBack(all);
  await world.run(6 * HOUR_MS);
  assert.deepEqual(await ownIds(next), []);
  assert.equal(await next.store.fact("takeover", ""), undefined);
  const fresh = await next.backUp("after", 20);
  next.federation.parts.replication.now();
  await world.run(3 * HOUR_MS);
  assert.deepEqual(await heldBy(others, next), fresh);
});

test("a holder that is away is waited for, also over a restart, and nothing is signed until then", async () => {
  const all = await safeSite();
  const { world, victim, others, primes } = all;
  await giveUp(victim);
  await world.run(2 * DAY_MS);
  const away = others.find(({ federation }) =>
    federation.parts.ledger
      .statements(federation.siteId, "receipt")
      .some(({ statement }) => statement.owner === victim.identity.siteId),
  )!;
  world.crash(away);
  const next = await takeBack(all);
  await world.run(6 * HOUR_MS);
  assert.equal(next.federation.parts.replication.suspicion(), "led-back");
  world.crash(next);
  const again = await world.start(next.identity, next.store);
  await world.run(HOUR_MS);
  assert.equal(again.federation.parts.replication.suspicion(), "led-back");
  await world.start(away.identity, away.store);
  await world.run(6 * HOUR_MS);
  assert.equal(again.federation.parts.replication.suspicion(), undefined);
  assert.deepEqual(await ownIds(again), primes);
});

test.run();
