/**
 * Goal: sites that only run come to two copies of everything elsewhere, hold their windows and rates, and stop when they are told. Method:
 * whole programs over a network in memory, in virtual time, with ledgers that are made equal every ten minutes.
 */
import assert from "node:assert/strict";
import { safeSnapshotsOf } from "#ledger/copies.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { LED_BACK } from "#node/replication/regaining.ts";
import {
  NOBODY_ASKED,
  Replication,
  type ReplicationEvent,
  type ReplicationSettings,
} from "#node/replication/replication.ts";
import { decodeCbor } from "#protocol/cbor.ts";
import { SiteClock } from "#test/simulation/site-clock.ts";
import { VirtualTime } from "#test/simulation/virtual-time.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";
import { DAY_MS } from "./test-clock.ts";

const test = suite("replication-whole");

const HOUR_MS = 3_600_000;
const anyTime: ReplicationSettings = { isPaused: false, window: null, timeZone: "UTC", bytesPerSecond: null };

class World {
  readonly time = new VirtualTime();
  readonly all = new ReplicatingFederation();
  readonly programs: {
    readonly site: ReplicatingSite;
    readonly replication: Replication;
    readonly clock: SiteClock;
  }[] = [];
  readonly events: ReplicationEvent[] = [];
  readonly end = new AbortController();
  settings = anyTime;
  /** Those that have to have their own sets back. */
  readonly ledBack = new Set<string>();
  /** Those that have asked nobody since their start. */
  readonly unasked = new Set<string>();

  static async of(...names: string[]): Promise<World> {
    const world = new World();
    for (const name of names) await world.#add(name);
    for (const { site } of world.programs) await site.sayProfile();
    await world.all.spread();
    for (const { site, replication } of world.programs) {
      site.peers.start();
      replication.start(world.end.signal);
    }
    return world;
  }

  async #add(name: string): Promise<void> {
    const site = await this.all.add(name, { serves: false });
    const clock = new SiteClock({ time: this.time });
    const { siteId: self, view: sites, ledger, entries, kept, own, peers } = site;
    const replication = await Replication.open({
      ...{ self, sites, ledger, entries, kept, own, peers, clock, store: site.roomyStore },
      rng: new SeededRng(name),
      settings: () => this.settings,
      holdingLimits: async () => ({ offeredBytes: 1e12, ownerBytes: 1e12 }),
      suspicion: () => (this.unasked.has(name) ? NOBODY_ASKED : this.ledBack.has(name) ? LED_BACK : undefined),
      hearsMost: () => true,
      wasLedBack: () => this.ledBack.has(name) && !this.unasked.has(name),
      regained: async () => this.ledBack.delete(name),
      catchUp: async () => undefined,
      former: { isTakenOver: () => false, takeFrom: async () => undefined },
      onEvent: (event) => void this.events.push(event),
    });
    this.programs.push({ site, replication, clock });
  }

  async run(durationMs: number, stepMs = 600_000): Promise<void> {
    const endMs = this.time.elapsedMs + durationMs;
    while (this.time.elapsedMs < endMs) {
      await this.time.run(Math.min(endMs, this.time.elapsedMs + stepMs));
      await this.all.spread();
    }
  }

  safeOf({ site, replication }: World["programs"][number]): number {
    const states = allSlices.map((slice) => replication.placement.stateOf(site.siteId, slice));
    return safeSnapshotsOf(states, { copiesCount: 2, domainsCount: 9 });
  }

  async stop(): Promise<void> {
    this.end.abort();
    const stopped = Promise.all(this.programs.map(({ replication }) => replication[Symbol.asyncDispose]()));
    await this.time.run(this.time.elapsedMs);
    await stopped;
  }
}

test("every site's backups are safe within an hour, and those of the next day too", async () => {
  const world = await World.of("a", "b", "c", "d");
  for (const { site } of world.programs) await site.backUp("first", 60);
  await world.run(HOUR_MS);
  for (const program of world.programs) assert.equal(world.safeOf(program), 1);
  for (const { site } of world.programs) await site.backUp("second", 20);
  await world.run(HOUR_MS);
  for (const program of world.programs) assert.equal(world.safeOf(program), 2);
  assert.deepEqual(
    world.events.filter(({ event }) => event === "put-off" || event === "audit-failed"),
    [],
  );
  await world.stop();
});

test("nothing moves outside of the window, or while it is paused", async () => {
  const world = await World.of("a", "b", "c");
  const [program] = world.programs;
  // The virtual year begins at midnight, UTC.
  world.settings = { ...anyTime, window: { fromMinutes: 22 * 60, toMinutes: 5 * 60 } };
  await world.run(6 * HOUR_MS);
  await program!.site.backUp("first", 30);
  await world.run(15 * HOUR_MS);
  assert.equal(world.safeOf(program!), 0);
  world.settings = { ...world.settings, isPaused: true };
  await world.run(2 * HOUR_MS);
  assert.equal(world.safeOf(program!), 0);
  world.settings = { ...world.settings, isPaused: false };
  await world.run(HOUR_MS);
  assert.equal(world.safeOf(program!), 1);
  await world.stop();
});

test("a machine whose clock jumps signs and drops nothing until a person says that it is right", async () => {
  const world = await World.of("a", "b", "c");
  const [program] = world.programs;
  await program!.site.backUp("first", 30);
  await world.run(HOUR_MS);
  program!.clock.jump(40 * DAY_MS);
  await program!.site.backUp("second", 30);
  await world.run(2 * HOUR_MS);
  assert.equal(program!.replication.suspicion(), "clock");
  assert.equal(world.safeOf(program!), 1);
  await program!.replication.heldClock.confirm();
  program!.replication.soon();
  await world.run(HOUR_MS);
  assert.equal(world.safeOf(program!), 2);
  await world.stop();
});

test("a site whose disk was set back counts locks anew, and forgets what it could ask for, before it has its sets back, and no other does", async () => {
  const world = await World.of("a", "b", "c");
  const [program, other] = world.programs;
  for (const { site } of [program!, other!]) await site.backUp("first", 30);
  await world.run(HOUR_MS);
  const drawnMs = async ({ site }: NonNullable<typeof program>): Promise<number> => {
    const samples = await Array.fromAsync(site.store.facts("audit-questions"));
    return Math.min(...samples.map(({ value }) => (decodeCbor(value) as { drawn: number }).drawn));
  };
  const beforeMs = await drawnMs(other!);
  const nowMs = program!.clock.now();
  world.ledBack.add("a");
  const heldMs = program!.replication.heldClock.nowMs();
  await world.run(HOUR_MS);
  assert.equal(world.ledBack.size, 0);
  const begun = decodeCbor((await program!.site.store.fact("locks", "begun"))!) as { since: number };
  assert.ok(begun.since >= heldMs);
  assert.equal(await other!.site.store.fact("locks", "begun"), undefined);
  assert.ok((await drawnMs(program!)) >= nowMs);
  assert.equal(await drawnMs(other!), beforeMs);
  await world.stop();
});

test("a holder whose disk was set back is not proven wrong before it has heard what it has said, and then says what it lacks", async () => {
  const world = await World.of("a", "b", "c");
  const [owner, holder] = world.programs;
  const { siteId } = owner!.site;
  const ids = await owner!.site.backUp("first", 30);
  await world.run(HOUR_MS);
  await holder!.site.store.release(siteId, ids);
  world.unasked.add("b");
  world.ledBack.add("b");
  const audit = async () => {
    const audits = owner!.replication.audit(world.end.signal);
    await world.run(60_000);
    return (await audits).find((one) => one.holder === holder!.site.siteId)!.counts!;
  };
  const before = await audit();
  assert.deepEqual([before.wrongCount, before.silentCount], [0, before.askedCount]);
  assert.ok(before.askedCount > 0);
  world.unasked.delete("b");
  const after = await audit();
  assert.equal(after.wrongCount, 0);
  await world.run(HOUR_MS);
  assert.deepEqual((await holder!.site.keptFor(siteId)).toSorted(), ids);
  await world.stop();
});

test("what a site has lost of its own comes back from its holders", async () => {
  const world = await World.of("a", "b", "c");
  const [program] = world.programs;
  const ids = await program!.site.backUp("first", 30);
  await world.run(HOUR_MS);
  const stored = await program!.site.store.get(ids[0]!);
  const others = world.programs.slice(1).map(({ site }) => site);
  for (const { peers } of others) world.all.network.cut(program!.site.peerKey, peers.self);
  await world.run(HOUR_MS);
  program!.site.store.lose(ids[0]!);
  await program!.site.backUp("second", 30);
  await world.run(HOUR_MS);
  for (const { peers } of others) world.all.network.mend(program!.site.peerKey, peers.self);
  await world.run(HOUR_MS);
  assert.deepEqual(await program!.site.store.get(ids[0]!), stored);
  assert.equal(world.safeOf(program!), 2);
  await world.stop();
});

test("what is lost before anybody else has it stays named as live, and holds up what needs it, and nothing else", async () => {
  const world = await World.of("a", "b", "c");
  const [program, ...others] = world.programs;
  const { site } = program!;
  const ids = await site.backUp("first", 60);
  const lost = ids[0]!;
  site.store.lose(lost);
  await world.run(HOUR_MS);
  const later = await site.backUp("second", 60);
  await world.run(2 * HOUR_MS);
  const all = [...ids, ...later].toSorted();
  for (const other of others)
    assert.deepEqual(
      (await other.site.keptFor(site.siteId)).toSorted(),
      all.filter((id) => id !== lost),
    );
  const live = site.ledger.statements(site.siteId, "live-set").reduce((sum, { statement }) => sum + statement.count, 0);
  assert.equal(live, all.length, "none is left out");
  const bySlice = allSlices.map((slice) => program!.replication.placement.stateOf(site.siteId, slice));
  const behind = bySlice.filter((state) => safeSnapshotsOf([state], { copiesCount: 2, domainsCount: 9 }) < 2);
  assert.equal(behind.length, 1, "one slice waits");
  // The snapshots that need it were removed.
  await site.expire([lost]);
  await world.run(2 * HOUR_MS);
  assert.equal(world.safeOf(program!), 2);
  await world.stop();
});

test.run();
