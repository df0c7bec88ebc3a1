/**
 * Goal: another member gathers a sample from the holders alone, what is not there or not the same is told, both sign, and an order lets nobody
 * else have anything. Method: whole sites in memory, in virtual time; holders that have lost primes; orders that are wrong in one thing each.
 */
import assert from "node:assert/strict";
import type { Channel, Peers } from "#ledger/peers.ts";
import { AcrossSites } from "#node/drills/across-sites.ts";
import { drillProtocol, gatheredAnswer } from "#node/drills/drill-messages.ts";
import { type DrillOrder, signDrillOrder } from "#node/replication/drill-order.ts";
import { fetchPrimes } from "#node/replication/fetch-primes.ts";
import { decodeMessage, encodeMessage, isBatch } from "#node/replication/frame-codec.ts";
import { isHolder } from "#node/replication/fetch-rights.ts";
import { sliceOf } from "#ledger/slice.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { FederationSite } from "#test/node/federation/federation-site.ts";
import { FederationWorld, HOUR_MS } from "#test/node/federation/federation-world.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { makeIdentity } from "#test/simulation/sim-identity.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("drills across sites", { timeoutMs: 120_000 });
const MINUTE_MS = 60_000;
const { signal } = new AbortController();

async function backedUp(sitesCount: number) {
  const world = await FederationWorld.of(sitesCount);
  const [owner] = world.sites as [FederationSite];
  const ids = (await owner.backUp("first", 40)).slice(0, limits.drillOrderIdsCount);
  await world.run(6 * HOUR_MS);
  /** What is asked in virtual time. */
  const during = async <T>(work: Promise<T>): Promise<T> => {
    work.catch(() => undefined);
    await world.run(MINUTE_MS);
    return work;
  };
  const gather = (examine: (id: PrimeId) => void = () => {}) =>
    during(owner.federation.parts.acrossSites.gather(ids, async ({ id }) => examine(id), signal));
  const witnessBy = (site: FederationSite) =>
    site.federation.parts.ledger.statement(site.identity.siteId, "drill-witness", owner.identity.siteId)?.statement;
  return { world, sites: world.sites, owner, ids, gather, witnessBy, during };
}

const heldCount = ({ federation }: FederationSite, owner: FederationSite, ids: readonly PrimeId[]): number => {
  const { ledger, membership: sites } = federation.parts;
  const { siteId } = owner.identity;
  return ids.filter((id) => isHolder({ ledger, sites }, federation.siteId, siteId, sliceOf(id))).length;
};

test("the member that holds the fewest of them gathers all from the others, keeps nothing, and signs", async () => {
  const { sites, owner, ids, gather, witnessBy } = await backedUp(6);
  const examined = new Set<PrimeId>();
  const { gatherer, bytes, failed } = await gather((id) => void examined.add(id));
  assert.deepEqual([[...examined].toSorted(), failed.size], [ids, 0]);
  const site = sites.find(({ identity }) => identity.siteId === gatherer)!;
  const counts = sites.slice(1).map((one) => heldCount(one, owner, ids));
  assert.equal(heldCount(site, owner, ids), Math.min(...counts));
  const { primesCount, failedCount, bytes: witnessedBytes } = witnessBy(site)!;
  assert.deepEqual([primesCount, failedCount, witnessedBytes], [ids.length, 0, bytes]);
  const has = await site.store.hasKept(owner.identity.siteId, ids);
  assert.equal(has.filter(Boolean).length, heldCount(site, owner, ids));
});

test("what no holder has is told though the owner has it, and so is what the owner has otherwise", async () => {
  const { sites, ids, gather, witnessBy } = await backedUp(4);
  const [lost, differing] = [ids[3]!, ids[5]!];
  for (const site of sites.slice(1)) site.store.lose(lost);
  const { gatherer, failed } = await gather((id) => {
    if (id === differing) throw new CostorError("drill-differs", "it is not the same");
  });
  assert.deepEqual([...failed.keys()].toSorted(), [lost, differing].toSorted());
  assert.match(failed.get(lost)!, /^prime-missing/);
  const { primesCount, failedCount } = witnessBy(sites.find(({ identity }) => identity.siteId === gatherer)!)!;
  assert.deepEqual([primesCount, failedCount], [ids.length - 1, 2]);
});

test("who has gathered just now is not asked again so soon, and without anybody nothing is proven", async () => {
  const { world, sites, owner, gather } = await backedUp(3);
  const [first, second] = [await gather(), await gather()];
  assert.deepEqual(
    [first.gatherer, second.gatherer].toSorted(),
    sites
      .slice(1)
      .map(({ identity }) => identity.siteId)
      .toSorted(),
  );
  await assert.rejects(gather(), { code: "peer-unreachable", message: /just now/ });
  await world.run(limits.drillGatherEveryMs);
  assert.equal((await gather()).failed.size, 0);
  for (const site of sites.slice(1)) world.crash(site);
  await world.run(HOUR_MS);
  assert.equal(owner.federation.parts.acrossSites.isPossible, false);
  await assert.rejects(gather(), { code: "peer-unreachable" });
});

/** Takes everything, and answers nothing. */
const silent = async (channel: Channel): Promise<void> => {
  while ((await channel.receive()) !== undefined);
};

test("gatherers that are silent are given up one after the other, and the drill ends though there are more of them", async () => {
  const { world, sites, owner, ids } = await backedUp(6);
  const { transport } = owner.federation.parts;
  const asked: string[] = [];
  const peers: Pick<Peers, "open" | "connected"> = {
    connected: () => transport.connected(),
    open: async (peer, protocol, aborted) => {
      const [near, far] = channelPair(protocol).channels;
      asked.push(peer);
      if (asked.length > 1 && asked.length < 4) return transport.open(peer, protocol, aborted);
      void silent(far).catch(() => undefined);
      return near;
    },
  };
  const { ledger, membership } = owner.federation.parts;
  const components = { self: owner.identity.siteId, clock: world.time.clock, rng: new SeededRng("silent") };
  const across = new AcrossSites({ ...components, peers, sites: membership, ledger }, owner.identity);
  const gather = async () => {
    const startedMs = world.time.elapsedMs;
    const work = across
      .gather(ids, async () => {}, signal)
      .then(
        ({ gatherer }) => [gatherer, world.time.elapsedMs - startedMs] as const,
        (error: unknown) => [(error as { code: string }).code, world.time.elapsedMs - startedMs] as const,
      );
    await world.run(HOUR_MS);
    return work;
  };
  const [gatherer, tookMs] = await gather();
  assert.ok(sites.some(({ identity }) => identity.siteId === gatherer));
  assert.ok(tookMs <= 6 * MINUTE_MS, `${tookMs}`);
  asked.splice(0, asked.length, "as if one had been asked", "and so on", "and on");
  const [code, silentMs] = await gather();
  assert.deepEqual([code, asked.length], ["peer-unreachable", 6]);
  assert.ok(silentMs <= 16 * MINUTE_MS, `${silentMs}`);
});

/** What a member is told that comes with an order. */
async function answerTo(asker: FederationSite, gatherer: FederationSite, order: Uint8Array): Promise<string> {
  const channel = await asker.federation.parts.transport.open(gatherer.identity.peerKey, drillProtocol);
  await channel.send(encodeMessage({ kind: "gather", order }));
  for (;;) {
    const frame = await channel.receive();
    if (frame === undefined) return "ended";
    if (isBatch(frame)) continue;
    const answer = decodeMessage(frame, gatheredAnswer);
    channel.abort();
    return answer.kind === "refused" ? answer.code : answer.kind;
  }
}

test("a gatherer refuses an order that is another's, for another, not signed, expired, for too long or for too many", async () => {
  const { world, sites, owner, ids, during } = await backedUp(4);
  const [, gatherer, other] = sites as [FederationSite, FederationSite, FederationSite];
  const order = (changes: Partial<DrillOrder> = {}, seed = owner.identity.peerSeed): Buffer => {
    const expiresMs = world.time.clock.now() + limits.drillOrderLifeMs;
    const fields = { owner: owner.identity.siteId, gatherer: gatherer.identity.peerKey, ids, expiresMs };
    return signDrillOrder({ ...fields, ...changes }, seed);
  };
  const now = world.time.clock.now();
  const late = now - limits.restoreTicketToleranceMs - MINUTE_MS;
  const long = now + limits.drillOrderLifeMs + limits.restoreTicketToleranceMs + HOUR_MS;
  const many = Array.from({ length: limits.drillOrderIdsCount + 1 }, () => ids[0]!);
  const ask = (asker: FederationSite, bytes: Uint8Array) => during(answerTo(asker, gatherer, bytes));
  assert.equal(await ask(other, order()), "peer-refused");
  assert.equal(await ask(owner, order({ gatherer: other.identity.peerKey })), "peer-refused");
  assert.equal(await ask(owner, order({}, other.identity.peerSeed)), "signature-invalid");
  assert.equal(await ask(owner, order({ owner: makeIdentity("a stranger", 1).siteId })), "peer-refused");
  assert.equal(await ask(owner, order({ expiresMs: late })), "peer-refused");
  assert.equal(await ask(owner, order({ expiresMs: long })), "peer-refused");
  assert.equal(await ask(owner, order({ ids: many })), "bad-encoding");
  assert.equal(await ask(owner, Buffer.from("no order")), "bad-encoding");
  assert.equal(await ask(owner, order()), "gathered");
});

test("a holder gives by an order what it names to the machine that it names, and nothing else", async () => {
  const { world, sites, owner, ids, during } = await backedUp(3);
  const [, holder, other] = sites as [FederationSite, FederationSite, FederationSite];
  const [named, unnamed] = [ids.slice(0, 8), ids[8]!];
  const orderOf = (changes: Partial<DrillOrder> = {}, seed = owner.identity.peerSeed): Uint8Array => {
    const expiresMs = world.time.clock.now() + limits.drillOrderLifeMs;
    const fields = { owner: owner.identity.siteId, gatherer: other.identity.peerKey, ids: named, expiresMs };
    return signDrillOrder({ ...fields, ...changes }, seed);
  };
  const fetched = (wanted: readonly PrimeId[], order?: Uint8Array) => {
    const init = { peer: holder.identity.peerKey, owner: owner.identity.siteId, ids: wanted };
    const proof = order && { order };
    const { transport: peers } = other.federation.parts;
    return during(Array.fromAsync(fetchPrimes({ peers }, { ...init, proof }), ({ id }) => id));
  };
  const isRefused = (work: Promise<unknown>) => assert.rejects(work, { code: "peer-refused" });
  await isRefused(fetched(named));
  assert.deepEqual((await fetched(named, orderOf())).toSorted(), named);
  await isRefused(fetched([...named, unnamed], orderOf()));
  await isRefused(fetched(named, orderOf({ gatherer: holder.identity.peerKey })));
  await isRefused(fetched(named, orderOf({ expiresMs: 0 })));
  await isRefused(fetched(named, orderOf({ owner: other.identity.siteId }, other.identity.peerSeed)));
  await isRefused(fetched(named, orderOf({}, other.identity.peerSeed)));
});

test.run();
