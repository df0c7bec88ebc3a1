/**
 * Goal: a site whose disk is older than what it has told others gets back exactly what it had signed, whoever lies, and leaves nothing
 * out that was live. Method: owners whose sets are taken back to an earlier state, honest, lying and absent holders.
 */
import assert from "node:assert/strict";
import { allSlices } from "#node/replication/all-slices.ts";
import { healOwn } from "#node/replication/healing.ts";
import { reportLosses } from "#node/replication/losses.ts";
import { HolderService } from "#node/replication/holder-service.ts";
import { Regaining } from "#node/replication/regaining.ts";
import type { KeptPrimes } from "#node/replication/replication-ports.ts";
import { servePrimes } from "#node/replication/primes-service.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import { sliceOf } from "#ledger/slice.ts";
import type { PeerKey, PrimeId } from "#protocol/ids.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";

const test = suite("regaining");

const signal = new AbortController().signal;

class Owner {
  readonly site: ReplicatingSite;
  readonly regaining: Regaining;
  regainedCount = 0;
  onSlice = async (): Promise<void> => {};

  constructor(site: ReplicatingSite) {
    this.site = site;
    const { siteId: self, patientClock: clock, peers, view: sites, ledger, store } = site;
    this.regaining = new Regaining({
      ...{ self, clock, peers, sites, ledger, store },
      own: {
        slice: async (slice) => {
          await this.onSlice();
          return site.own.slice(slice);
        },
      },
      rng: new SeededRng("regaining"),
      regained: async () => this.regainedCount++ >= 0,
    });
  }

  turn(): Promise<boolean> {
    return this.regaining.turn(signal);
  }

  async heal(): Promise<void> {
    const { siteId: self, patientClock: clock, peers, view: sites, ledger, store } = this.site;
    await healOwn({ self, clock, peers, sites, ledger, store });
  }

  async ids(): Promise<PrimeId[]> {
    return (await Array.fromAsync(this.site.store.kept(this.site.siteId))).flat();
  }
}

interface World {
  readonly federation: ReplicatingFederation;
  readonly owner: Owner;
  readonly holders: readonly ReplicatingSite[];
  readonly old: readonly PrimeId[];
  /** Of the newest live sets, beyond `old`. */
  readonly fresh: readonly PrimeId[];
  /** Of `old`, which the newest live sets leave out. */
  readonly expired: readonly PrimeId[];
}

/** An owner that has sent two states to two holders, and whose disk is as at the first. */
async function ledBack(
  init: { lies?: (honest: KeptPrimes) => Partial<KeptPrimes>; honestCount?: number; unsentCount?: number } = {},
): Promise<World> {
  const federation = new ReplicatingFederation();
  const site = await federation.add("owner");
  const holders: ReplicatingSite[] = [];
  for (let at = 0; at < (init.honestCount ?? 2); at++) holders.push(await federation.add(`holder ${at}`));
  if (init.lies !== undefined) holders.unshift(await liar(federation, init.lies));
  const old = await site.backUp("old", 80);
  const send = async (): Promise<void> => {
    const slices = await site.slicesFor(holders);
    for (const holder of holders) await site.replicate(holder, slices);
    await federation.spread();
  };
  await send();
  const fresh = await site.backUp("fresh", 40);
  const expired = old.slice(0, 10);
  const stored = await site.store.getMany(expired);
  await site.expire(expired);
  await send();
  const unsent = await site.backUp("unsent", init.unsentCount ?? 0);
  if (unsent.length > 0) await site.slicesFor(holders);
  await federation.spread();
  await site.store.release(site.siteId, [...fresh, ...unsent]);
  await site.store.put(
    "agent" as never,
    expired.map((id, at) => ({ id, stored: stored[at]! })),
  );
  await site.store.keep(site.siteId, expired);
  return { federation, owner: new Owner(site), holders, old, fresh, expired };
}

let hasLied = false;
/** Honest until the test says otherwise. */
async function liar(federation: ReplicatingFederation, lies: (honest: KeptPrimes) => Partial<KeptPrimes>) {
  hasLied = false;
  const site = await federation.add("liar", { serves: false });
  const lying = lies(site.kept);
  const kept = new Proxy(site.kept, {
    get: (target, name: keyof KeptPrimes) => (hasLied ? (lying[name] ?? target[name]) : target[name]),
  });
  const { ledger, store, peers, view: sites } = site;
  new HolderService({ ...site.holderComponents(), kept, peers, sites }).start(signal);
  servePrimes({ clock: site.clock, ledger, store, peers, sites });
  await peers.start();
  return site;
}

const sorted = (...lists: readonly (readonly PrimeId[])[]): PrimeId[] => [...new Set(lists.flat())].toSorted();

/** Everything that the holders note as left out. */
const omittedAt = async (holder: ReplicatingSite, owner: Owner): Promise<PrimeId[]> =>
  (await Array.fromAsync(holder.omissions.notes(owner.site.siteId))).flatMap(({ ids }) => ids ?? []).toSorted();

test("a disk that is older gets back what was signed since, and nothing of it is ever left out", async () => {
  const { federation, owner, holders, old, fresh, expired } = await ledBack();
  assert.deepEqual(await owner.ids(), sorted(old));
  assert.equal(await owner.turn(), true);
  assert.equal(owner.regainedCount, 1);
  assert.deepEqual(await owner.ids(), sorted(old, fresh));
  await owner.heal();
  assert.equal((await owner.site.store.getMany(fresh)).length, fresh.length);
  for (const holder of holders) assert.deepEqual(await omittedAt(holder, owner), expired);
  const slices = await owner.site.slicesFor(holders);
  for (const holder of holders) await owner.site.replicate(holder, slices);
  await federation.spread();
  for (const holder of holders) {
    assert.deepEqual(await omittedAt(holder, owner), [], "what has expired is live again, until it expires again");
    assert.deepEqual(await holder.keptFor(owner.site.siteId), sorted(old, fresh));
  }
});

test("a disk that is empty gets back everything, and what is backed up meanwhile stays", async () => {
  const { owner, old, fresh, expired } = await ledBack();
  await owner.site.store.release(owner.site.siteId, await owner.ids());
  const meanwhile = await owner.site.backUp("meanwhile", 30);
  assert.equal(await owner.turn(), true);
  const live = old.filter((id) => !expired.includes(id));
  assert.deepEqual(await owner.ids(), sorted(live, fresh, meanwhile));
});

test("a set that is as it was signed is not asked for", async () => {
  const { owner, holders, old, fresh, expired, federation } = await ledBack();
  await owner.site.store.keep(owner.site.siteId, fresh);
  await owner.site.store.release(owner.site.siteId, expired);
  assert.notDeepEqual(await owner.ids(), old);
  for (const { peerKey } of holders) federation.network.cut(owner.site.peerKey, peerKey);
  assert.equal(await owner.turn(), true);
});

test("what waits for a holder that is not reached comes when it is back", async () => {
  const { owner, holders, old, fresh, federation } = await ledBack();
  for (const { peerKey } of holders) federation.network.cut(owner.site.peerKey, peerKey);
  assert.equal(await owner.turn(), false);
  assert.equal(owner.regainedCount, 0);
  assert.deepEqual(await owner.ids(), sorted(old));
  federation.network.mendAll();
  assert.equal(await owner.turn(), true);
  assert.deepEqual(await owner.ids(), sorted(old, fresh));
});

const forged = "7".repeat(64) as PrimeId;

/** Answers questions by another set. */
const comparingBy =
  (change: (ids: PrimeId[], slice: number) => PrimeId[]) =>
  (honest: KeptPrimes): Partial<KeptPrimes> => ({
    compare: async (owner, slice, key, question) =>
      answerQuestion(setOfList(key, change(await honest.slice(owner, slice), slice).toSorted()), question),
  });

for (const [what, change] of Object.entries({
  "names a prime more": (ids: PrimeId[], slice: number) => (slice === sliceOf(forged) ? [...ids, forged] : ids),
  "hides a prime": (ids: PrimeId[]) => ids.slice(1),
  "names others instead": (ids: PrimeId[]) => ids.map((id) => `${id.slice(0, 60)}0000` as PrimeId),
  "has nothing": () => [],
}))
  test(`a holder that ${what} adds nothing, and an honest one makes it good`, async () => {
    const alone = await ledBack({ lies: comparingBy(change), honestCount: 0 });
    hasLied = true;
    assert.equal(await alone.owner.turn(), false);
    const had = sorted(alone.old, alone.fresh);
    assert.ok((await alone.owner.ids()).every((id) => had.includes(id)));
    const both = await ledBack({ lies: comparingBy(change), honestCount: 1 });
    hasLied = true;
    assert.equal(await both.owner.turn(), true);
    assert.deepEqual(await both.owner.ids(), sorted(both.old, both.fresh));
  });

test("what no holder has whole is fetched from all of them, and only what comes is kept", async () => {
  const { owner, holders, old, fresh, federation } = await ledBack({ unsentCount: 40 });
  federation.network.cut(owner.site.peerKey, holders[1]!.peerKey);
  assert.equal(await owner.turn(), false, "one of them may have more");
  federation.network.mendAll();
  assert.equal(await owner.turn(), true);
  assert.deepEqual(await owner.ids(), sorted(old, fresh));
  await owner.heal();
  assert.equal((await owner.site.store.getMany(fresh)).length, fresh.length);
});

test("of what holders say to have lost some, all that is left comes back, and the rest is not waited for", async () => {
  const { owner, holders, old, fresh, expired, federation } = await ledBack();
  const lost = fresh.slice(0, 1);
  for (const holder of holders) {
    for (const id of lost) holder.store.lose(id);
    await reportLosses({ ...holder.holderComponents(), store: holder.store });
  }
  await federation.spread();
  assert.equal(await owner.turn(), true);
  const ids = await owner.ids();
  assert.deepEqual(
    sorted(ids, expired),
    sorted(old, fresh).filter((id) => !lost.includes(id)),
  );
});

test("of what no holder has whole none is believed that names more than was ever signed", async () => {
  const many = (ids: PrimeId[], slice: number): PrimeId[] => [
    ...ids,
    ...Array.from({ length: 100 }, (_, at) => `${slice.toString(16)}${String(at).padStart(63, "e")}` as PrimeId),
  ];
  const { owner, old } = await ledBack({ lies: comparingBy(many), honestCount: 0, unsentCount: 40 });
  hasLied = true;
  assert.equal(await owner.turn(), false);
  assert.deepEqual(await owner.ids(), sorted(old));
});

test("what nobody has whole comes back also when most of it had expired before it was last signed", async () => {
  const { owner, holders, old, fresh, expired, federation } = await ledBack();
  const { site } = owner;
  assert.equal(await owner.turn(), true);
  await owner.heal();
  const ids = sorted(old, fresh);
  const live = ids.filter((id, at) => at % 6 === 0 && !expired.includes(id));
  await site.store.release(
    site.siteId,
    ids.filter((id) => !live.includes(id)),
  );
  await site.slicesFor(holders);
  await federation.spread();
  await site.store.release(site.siteId, live);
  const back = new Owner(site);
  assert.equal(await back.turn(), true);
  const came = await back.ids();
  assert.ok(live.every((id) => came.includes(id)));
});

test("what only a site has that was named by a steward comes back, whether those that the owner has named are gone or away", async () => {
  for (const gone of [true, false]) {
    const { owner, holders, old, fresh, expired, federation } = await ledBack();
    const { site } = owner;
    const [steward] = holders as [ReplicatingSite];
    const further = await federation.add("further");
    for (const slice of allSlices) {
      const holder = [further.siteId];
      const namingEntry = await steward.say({ kind: "steward", owner: site.siteId, slice, holders: holder });
      const receipt = steward.receiptFor(site.siteId, slice)!;
      const entry = (await steward.ledger.entry(receipt.logId, receipt.seq))!;
      const gone = await omittedAt(steward, owner);
      const ids = (await steward.kept.slice(site.siteId, slice)).filter((id) => !gone.includes(id));
      await steward.replicate(further, [{ ...receipt.statement, ids, entry, namingEntry }], { owner: site.siteId });
    }
    await federation.spread();
    for (const holder of holders) {
      holder.peers.stop();
      if (gone) holder.role = "none";
    }
    assert.equal(await owner.turn(), true);
    assert.deepEqual(sorted(await owner.ids(), expired), sorted(old, fresh));
  }
});

test("what becomes known of a holder after a turn is looked at before all counts as here", async () => {
  const { owner, holders, old, fresh, federation } = await ledBack({ unsentCount: 40 });
  for (const holder of holders) holder.role = "none";
  await owner.turn();
  assert.deepEqual(await owner.ids(), sorted(old));
  for (const holder of holders) holder.role = "member";
  await federation.spread();
  assert.equal(await owner.turn(), true);
  assert.deepEqual(await owner.ids(), sorted(old, fresh));
});

test("holders that are reached in turns are asked one after the other", async () => {
  const { owner, holders, old, fresh, federation } = await ledBack({ unsentCount: 40 });
  const [one, other] = holders.map(({ peerKey }) => peerKey) as [PeerKey, PeerKey];
  federation.network.cut(owner.site.peerKey, one);
  assert.equal(await owner.turn(), false);
  federation.network.mendAll();
  federation.network.cut(owner.site.peerKey, other);
  assert.equal(await owner.turn(), true);
  assert.deepEqual(await owner.ids(), sorted(old, fresh));
});

test("a live set that is met meanwhile counts too", async () => {
  const { owner, old, fresh } = await ledBack();
  let countdown = 20;
  owner.onSlice = async () => {
    if (--countdown !== 0) return;
    const hash = "ab".repeat(32);
    await owner.site.say({ kind: "live-set", slice: 0, generation: 9, count: 9, bytes: 900, hash, snapshots: 9 });
  };
  assert.equal(await owner.turn(), false);
  assert.equal(owner.regainedCount, 0);
  assert.equal(await owner.turn(), true);
  assert.deepEqual(await owner.ids(), sorted(old, fresh));
});

test.run();
