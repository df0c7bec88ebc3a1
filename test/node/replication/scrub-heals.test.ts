/**
 * Goal: damage of every size heals without a person while holders live: a bit, sectors up to a twentieth of a store, a segment, all of them, the
 * index; of a site's own primes and of those that it keeps for others; and what is back is what was there, byte by byte. Method: real stores
 * on a real disk, sites on a network in memory; damage is drawn by a seed.
 */
import assert from "node:assert/strict";
import { open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { healOwn } from "#node/replication/healing.ts";
import { reportLosses } from "#node/replication/losses.ts";
import type { PrimeStore, ScrubPlace } from "#node/store/prime-store.ts";
import { segmentHeaderBytes } from "#node/store/record.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { count } from "#test/support/level.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { sampleAgent } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";
import { neverLate } from "./test-clock.ts";

const test = suite("scrub-heals", { timeoutMs: count(120_000, 3_600_000) });

/** A store that can be closed, damaged and opened again under a site that goes on. */
class Machine {
  readonly directory: string;
  #current: SegmentStore;
  readonly store: PrimeStore;

  private constructor(directory: string, current: SegmentStore) {
    this.directory = directory;
    this.#current = current;
    this.store = new Proxy({} as PrimeStore, {
      get: (_, name: keyof SegmentStore) => {
        const value: unknown = this.#current[name];
        return typeof value === "function" ? (value as () => unknown).bind(this.#current) : value;
      },
    });
  }

  static async start(): Promise<Machine> {
    const directory = await scratchDirectory("machine");
    return new Machine(directory, await Machine.#open(directory));
  }

  static #open = (directory: string): Promise<SegmentStore> =>
    SegmentStore.open({ directory, segmentBytes: 96 * 1024, reserveFileBytes: 0 });

  get segments(): string {
    return join(this.directory, "segments");
  }

  async whileStopped(damage: () => Promise<void>): Promise<void> {
    await this.#current[Symbol.asyncDispose]();
    await damage();
    this.#current = await Machine.#open(this.directory);
  }

  async scrub(): Promise<void> {
    for (let from: ScrubPlace | undefined, isFirst = true; isFirst || from !== undefined; isFirst = false)
      from = (await this.store.scrub({ from, until: undefined, bytes: 50_000 })).next;
    await this.store.verifyIndex();
  }
}

type Damage = (machine: Machine, random: () => number) => Promise<void>;

async function segmentsOf(machine: Machine): Promise<string[]> {
  const names = (await readdir(machine.segments)).toSorted();
  return names.map((name) => join(machine.segments, name));
}

async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, "r+");
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
}

const flipBits =
  (hitsCount: number): Damage =>
  async (machine, random) => {
    const paths = await segmentsOf(machine);
    for (let hit = 0; hit < hitsCount; hit++) {
      const path = paths[Math.floor(random() * paths.length)]!;
      const bytes = await readFile(path);
      if (bytes.length <= segmentHeaderBytes) continue;
      const at = segmentHeaderBytes + Math.floor(random() * (bytes.length - segmentHeaderBytes));
      await overwrite(path, at, Buffer.of(bytes[at]! ^ (1 << Math.floor(random() * 8))));
    }
  };

const overwriteSectors: Damage = async (machine, random) => {
  for (const path of await segmentsOf(machine)) {
    const sectorsCount = Math.floor((await stat(path)).size / 512);
    for (let hit = 0; hit < sectorsCount / 20; hit++)
      await overwrite(path, 512 * Math.floor(random() * sectorsCount), Buffer.alloc(512, Math.floor(random() * 256)));
  }
};

const removeSegment: Damage = async (machine, random) => {
  const paths = await segmentsOf(machine);
  await rm(paths[Math.floor(random() * paths.length)]!);
};

const emptySegments: Damage = async (machine) => {
  for (const path of await segmentsOf(machine)) await rm(path);
};

const emptyIndex: Damage = async (machine) => {
  const index = join(machine.directory, "index");
  for (const name of await readdir(index)) await rm(join(index, name));
};

/** `isStopped`: as when nobody could notice while it happened. */
const damages: readonly { what: string; damage: Damage; isStopped: boolean; count: number }[] = [
  { what: "a bit is flipped", damage: flipBits(1), isStopped: false, count: count(10, 1000) },
  { what: "bits are flipped while it is stopped", damage: flipBits(5), isStopped: true, count: count(3, 200) },
  {
    what: "a twentieth of all sectors is overwritten",
    damage: overwriteSectors,
    isStopped: false,
    count: count(3, 100),
  },
  { what: "the same while it is stopped", damage: overwriteSectors, isStopped: true, count: count(2, 100) },
  { what: "a segment is removed while it is stopped", damage: removeSegment, isStopped: true, count: count(2, 50) },
  { what: "all segments are removed while it is stopped", damage: emptySegments, isStopped: true, count: count(2, 20) },
  { what: "the index is emptied while it is stopped", damage: emptyIndex, isStopped: true, count: count(1, 20) },
];

const allOf = async (site: ReplicatingSite): Promise<Map<PrimeId, Buffer>> => {
  const ids = (await Array.fromAsync(site.store.kept(site.siteId))).flat();
  const stored = await site.store.getMany(ids);
  return new Map(ids.map((id, at) => [id, stored[at]!]));
};

async function assertHas(store: PrimeStore, primes: ReadonlyMap<PrimeId, Buffer>, what: string): Promise<void> {
  const found = await store.getMany([...primes.keys()]).catch((cause: unknown) => {
    throw new Error(what, { cause });
  });
  for (const [at, [id, stored]] of [...primes].entries()) assert.ok(found[at]!.equals(stored), `${what}: ${id}`);
}

const hit = async (machine: Machine, { damage, isStopped }: (typeof damages)[number], random: () => number) => {
  if (isStopped) await machine.whileStopped(() => damage(machine, random));
  else await damage(machine, random);
};

test("what a site has lost of its own comes back from holders", async () => {
  const all = new ReplicatingFederation();
  const machine = await Machine.start();
  const owner = await all.add("owner", { store: machine.store });
  const holders = [await all.add("one"), await all.add("two")];
  await owner.backUp("first", 300, 1500);
  await owner.backUp("second", 40, 30_000);
  await owner.store.appendFacts([{ kind: "test", key: "fact", value: Buffer.from("value") }]);
  const slices = await owner.slicesFor(holders);
  for (const holder of holders) await owner.replicate(holder, slices);
  await all.spread();
  const primes = await allOf(owner);
  const random = seededRandom(21);
  for (const kind of damages)
    for (let round = 0; round < kind.count; round++) {
      const what = `${kind.what}, round ${round}`;
      await hit(machine, kind, random);
      await machine.scrub();
      const { siteId: self, peers, view: sites, ledger, store } = owner;
      await healOwn({ self, peers, sites, ledger, store, clock: neverLate });
      assert.deepEqual((await Array.fromAsync(store.lostOf(self))).flat(), [], what);
      await assertHas(store, primes, what);
      assert.equal((await store.fact("test", "fact"))?.toString(), "value", what);
      await store.compact();
      assert.equal((await store.stats()).quarantinedCount, 0, `${what}: the damage is settled`);
      assert.deepEqual((await Array.fromAsync(store.kept(self))).flat(), [...primes.keys()], what);
    }
  await machine.store[Symbol.asyncDispose]();
});

test("what those who have receipts do not have comes back from a site that has none", async () => {
  const all = new ReplicatingFederation();
  const machine = await Machine.start();
  const owner = await all.add("owner", { store: machine.store });
  const [holder, other] = [await all.add("holder"), await all.add("other")];
  const ids = await owner.backUp("first", 60);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  await all.spread();
  for (const id of ids) await other.store.put(sampleAgent(1), [{ id, stored: await owner.store.get(id) }]);
  await other.store.keep(owner.siteId, ids);
  await holder.store.release(owner.siteId, ids);
  const primes = await allOf(owner);
  await machine.whileStopped(() => emptySegments(machine, Math.random));
  const { siteId: self, peers, view: sites, ledger, store } = owner;
  await healOwn({ self, peers, sites, ledger, store, clock: neverLate });
  await assertHas(store, primes, "nobody with a receipt has it");
  await machine.store[Symbol.asyncDispose]();
});

test("a store whose files are removed under it acknowledges nothing more, and is whole again after a restart", async () => {
  const all = new ReplicatingFederation();
  const machine = await Machine.start();
  const owner = await all.add("owner", { store: machine.store });
  const holder = await all.add("holder");
  await owner.backUp("first", 100, 1500);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  await all.spread();
  const primes = await allOf(owner);
  await emptySegments(machine, Math.random);
  for (let attempt = 0; attempt < 3; attempt++)
    await assert.rejects(owner.backUp(`lost ${attempt}`, 5), (error) => isCostorError(error, "store-failed"));
  await machine.whileStopped(async () => undefined);
  const { siteId: self, peers, view: sites, ledger, store } = owner;
  await healOwn({ self, peers, sites, ledger, store, clock: neverLate });
  await assertHas(store, primes, "all segments were removed");
  await owner.backUp("second", 5);
  await machine.store[Symbol.asyncDispose]();
});

test("what a site has lost of others' it tells them, and it is sent again", async () => {
  const all = new ReplicatingFederation();
  const machine = await Machine.start();
  const [owner, second] = [await all.add("owner"), await all.add("second")];
  const holder = await all.add("holder", { store: machine.store });
  const random = seededRandom(22);
  for (const site of [owner, second]) {
    await site.backUp("first", 200, 1500);
    await site.backUp("second", 20, 30_000);
    await site.replicate(holder, await site.slicesFor([holder]));
  }
  await all.spread();
  for (const kind of damages)
    for (let round = 0; round < Math.ceil(kind.count / 2); round++) {
      const what = `${kind.what}, round ${round}`;
      await hit(machine, kind, random);
      await machine.scrub();
      const { siteId: self, ledger, entries, store, kept, ownerTurns } = holder;
      await reportLosses({ self, ledger, entries, store, kept, ownerTurns });
      await all.spread();
      for (const site of [owner, second]) {
        const primes = await allOf(site);
        const lacking = primes.size - (await holder.keptFor(site.siteId)).length;
        const lossesCount = Array.from({ length: 16 }, (_, slice) =>
          ledger.statement(self, "loss", `${site.siteId}/${slice}`),
        ).filter((loss) => loss !== undefined).length;
        if (lacking > 0) assert.ok(lossesCount > 0, `${what}: a loss is told`);
        await site.replicate(holder, await site.slicesFor([holder]));
        await assertHas(holder.store, primes, what);
        assert.deepEqual(await holder.keptFor(site.siteId), [...primes.keys()], what);
      }
      await all.spread();
    }
  await machine.store[Symbol.asyncDispose]();
});

test.run();
