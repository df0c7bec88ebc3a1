/**
 * Goal: a drill passes exactly when what it restores is what was backed up, tells each file that is not, and comes by itself by turns.
 * Method: snapshots of real primes; other sites' copies that lack primes, are damaged, or are somebody else's.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import type { AcrossSites } from "#node/drills/across-sites.ts";
import { DrillRecord } from "#node/drills/drill-record.ts";
import { Drills, type FetchPrime } from "#node/drills/drills.ts";
import { drillStandings } from "#node/drills/drill-standing.ts";
import { type Drill, dueDrill } from "#node/drills/due-drill.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotResponse } from "#protocol/http.ts";
import { type PrimeId, makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { noise } from "#test/support/noise.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("drills");
const DAY_MS = 24 * 3_600_000;
const { signal } = new AbortController();

class DrilledSite {
  readonly maker = new TreeMaker();
  readonly #agent = parseAgentId(makeUuidV7(1));
  readonly #store = createMemoryStore();
  readonly #snapshots: SnapshotResponse[] = [];
  directory = "";
  nowMs = 1_000_000 * DAY_MS;
  #seed = 0;

  static async of(filesCount: number): Promise<DrilledSite> {
    const site = new DrilledSite();
    site.directory = await scratchDirectory("drills");
    const { maker } = site;
    const files = Array.from({ length: filesCount }, (_, at) =>
      maker.file(`${at}`, noise(`file ${at}`, 10 + at * 100)),
    );
    const below = maker.directory("below", maker.node(files));
    const root = maker.node([below, maker.directory("empty", maker.node([])), maker.file("top", noise("top", 5000))]);
    const [id, at] = [parseSnapshotId(makeUuidV7(1)), 1];
    site.#snapshots.push({
      ...{ id, job: "daily", roots: [], startedMs: at, receivedMs: at, objectsCount: 0, bytes: 0, filesCount: 0 },
      ...{ unreadableCount: 0, root: nodePointerToWire(root) },
    });
    return site;
  }

  readonly fetchPrime: FetchPrime = async (id) => {
    const found = this.maker.primes.find((prime) => prime.id === id);
    if (!found) throw new CostorError("prime-missing", id);
    return Buffer.from(found.stored);
  };

  async drills(offsite?: FetchPrime, across?: Pick<AcrossSites, "isPossible" | "gather">): Promise<Drills> {
    return new Drills(
      {
        site: {
          agents: { list: () => [{ id: this.#agent }], visit: () => ({ token: "", [Symbol.dispose]: () => {} }) },
          now: () => this.nowMs,
          snapshots: { list: async () => this.#snapshots, get: async () => this.#snapshots[0]! },
          store: { get: this.fetchPrime },
        } as never,
        record: await DrillRecord.open(this.#store),
        ...{ clock: { now: () => this.nowMs }, rng: new SeededRng(++this.#seed), onResult: () => {} },
        offsite: () => offsite,
        across: () => across,
        door: {
          call: async () => {
            throw new CostorError("site-unreachable", "there is no door");
          },
        },
        holderTampering: () => undefined,
        openKit: () => undefined,
      },
      { dataDirectory: this.directory },
    );
  }
}

const whole: Drill = { kind: "local", isWhole: true };

test("a whole snapshot that is well passes with each of its files, and leaves no scratch behind", async () => {
  const site = await DrilledSite.of(50);
  const result = await (await site.drills()).run(whole, { signal });
  assert.deepEqual([result.filesCount, result.failedCount, result.failures], [51, 0, []]);
  assert.equal(result.bytes, 5000 + 50 * 10 + 100 * (49 * 25));
  assert.deepEqual(await readdir(site.directory), []);
});

test("some files are drawn by chance, none twice", async () => {
  const site = await DrilledSite.of(300);
  const { filesCount, failedCount } = await (await site.drills()).run({ kind: "local", isWhole: false }, { signal });
  assert.ok(filesCount > 10 && filesCount <= 20, `${filesCount}`);
  assert.equal(failedCount, 0);
});

test("a prime that the other sites lack, or have damaged, is told by the file, and the rest is tried", async () => {
  const site = await DrilledSite.of(30);
  const file = site.maker.primes[7]!;
  const lacking = await site.drills(async (id) => {
    if (id === file.id) throw new CostorError("prime-missing", "nobody has it");
    return site.fetchPrime(id);
  });
  const offsite: Drill = { kind: "offsite", isWhole: true };
  const result = await lacking.run(offsite, { signal });
  assert.deepEqual([result.filesCount, result.failedCount], [31, 1]);
  assert.deepEqual(result.failures, [{ what: "/below/7", message: "prime-missing: nobody has it" }]);
  const damaging = await site.drills(async (id) => {
    const stored = Buffer.from(await site.fetchPrime(id));
    if (id === file.id) stored[stored.length >> 1]! ^= 1;
    return stored;
  });
  const { failures } = await damaging.run(offsite, { signal });
  assert.deepEqual(
    failures.map(({ what, message }) => [what, message.split(":")[0]]),
    [["/below/7", "prime-corrupt"]],
  );
});

test("a tree that cannot be read fails the drill", async () => {
  const site = await DrilledSite.of(5);
  const drills = await site.drills(async () => {
    throw new CostorError("prime-missing", "nobody has it");
  });
  const { filesCount, failures } = await drills.run({ kind: "offsite", isWhole: false }, { signal });
  assert.deepEqual([filesCount, failures[0]?.what], [0, "the tree of the snapshot"]);
});

test("without other sites nothing can be restored from them", async () => {
  const site = await DrilledSite.of(5);
  await assert.rejects((await site.drills()).run({ kind: "offsite", isWhole: false }, { signal }), {
    code: "not-in-federation",
  });
});

test("an aborted drill leaves neither a result nor a scratch file", async () => {
  const site = await DrilledSite.of(20);
  const stop = new AbortController();
  const drills = await site.drills();
  const running = drills.run(whole, { signal: stop.signal, onProgress: () => stop.abort(new Error("enough")) });
  await assert.rejects(running, /enough/);
  assert.deepEqual(drills.list(), []);
  assert.deepEqual(await readdir(site.directory), []);
});

test("drills come by themselves: each week some files, each month a snapshot, from here and elsewhere by turns", async () => {
  const site = await DrilledSite.of(5);
  for (let day = 0; day < 60; day++) {
    // A restart each day.
    await (await site.drills(site.fetchPrime)).runDue({ signal });
    await (await site.drills(site.fetchPrime)).runDue({ signal });
    site.nowMs += DAY_MS;
  }
  const results = (await site.drills()).list().toReversed();
  const kinds = (isWhole: boolean) => results.filter((one) => one.isWhole === isWhole).map(({ kind }) => kind);
  assert.deepEqual(kinds(true), ["local", "offsite"]);
  assert.deepEqual(kinds(false), [
    "local",
    "offsite",
    "local",
    "offsite",
    "local",
    "offsite",
    "local",
    "offsite",
    "local",
  ]);
  assert.ok(results.every(({ failedCount }) => failedCount === 0));
});

const gathersAll = (site: DrilledSite, damaged?: PrimeId): Pick<AcrossSites, "isPossible" | "gather"> => ({
  isPossible: true,
  gather: async (ids, examine) => {
    const failed = new Map<PrimeId, string>();
    let bytes = 0;
    for (const id of ids) {
      const stored = Buffer.from(await site.fetchPrime(id));
      if (id === damaged) stored[stored.length >> 1]! ^= 1;
      bytes += stored.length;
      await examine({ id, stored }).catch((error: Error) => failed.set(id, error.message));
    }
    return { gatherer: sampleSiteId("gatherer"), bytes, failed };
  },
});

test("a sample that another site gathers is opened and compared, and what is damaged is told by its file", async () => {
  const site = await DrilledSite.of(5);
  const across: Drill = { kind: "across", isWhole: false };
  const well = await (await site.drills(site.fetchPrime, gathersAll(site))).run(across, { signal });
  assert.deepEqual([well.gatherer, well.filesCount, well.failedCount], [sampleSiteId("gatherer"), 6, 0]);
  const drills = await site.drills(site.fetchPrime, gathersAll(site, site.maker.primes[2]!.id));
  const damaged = await drills.run(across, { signal });
  assert.deepEqual([damaged.failedCount, damaged.failures[0]?.what], [1, "/below/2"]);
  assert.deepEqual((await site.drills()).list()[0], damaged);
});

test("other sites gather by turns too, and while they do not, the others have their turns", async () => {
  const site = await DrilledSite.of(5);
  const refusing: Pick<AcrossSites, "isPossible" | "gather"> = {
    isPossible: true,
    gather: async () => {
      throw new CostorError("peer-unreachable", "nobody gathers");
    },
  };
  for (let day = 0; day < 60; day++) {
    const drills = await site.drills(site.fetchPrime, day < 30 ? gathersAll(site) : refusing);
    for (let turn = 0; turn < 2; turn++) await drills.runDue({ signal });
    site.nowMs += DAY_MS;
  }
  const kinds = (await site.drills()).list().flatMap(({ kind, isWhole }) => (isWhole ? [] : [kind]));
  assert.deepEqual(kinds.toReversed(), [
    ...["local", "offsite", "across", "local", "offsite", "local", "offsite", "local", "offsite"],
  ]);
});

test("a status tells the newest drill of each kind that passed, one that failed since, and that none passed lately", () => {
  const done = (kind: Drill["kind"], day: number, failedCount = 0) => ({ kind, endedMs: day * DAY_MS, failedCount });
  const results = [done("local", 99), done("across", 90, 2), done("across", 80), done("offsite", 39), done("local", 5)];
  assert.deepEqual(drillStandings(results, [], 100 * DAY_MS), [
    { kind: "local", failedCount: 0, passedMs: 99 * DAY_MS, ageMs: DAY_MS, hasPassedLately: true },
    { kind: "offsite", failedCount: 0, passedMs: 39 * DAY_MS, ageMs: 61 * DAY_MS, hasPassedLately: false },
    { kind: "across", failedCount: 2, passedMs: 80 * DAY_MS, ageMs: 20 * DAY_MS, hasPassedLately: true },
  ]);
  const none = { kind: "local", failedCount: 0, hasPassedLately: false };
  assert.deepEqual(drillStandings([], ["local"], DAY_MS), [none]);
});

test("what is forbidden is tried each month, before anything is restored, and by nobody who cannot", () => {
  const tampered = (startedMs: number) => [{ kind: "tamper", isWhole: false, startedMs }] as const;
  const due = (startedMs: number) => dueDrill(tampered(startedMs), 100 * DAY_MS, ["local", "tamper"])?.kind;
  assert.deepEqual([due(71 * DAY_MS), due(70 * DAY_MS), due(101 * DAY_MS)], ["local", "tamper", "tamper"]);
  assert.deepEqual(dueDrill([], DAY_MS, ["local"]), whole);
});

test("a clock that was ahead does not put drills off for ever, and a site alone restores from itself", () => {
  assert.deepEqual(dueDrill([{ kind: "local", isWhole: true, startedMs: 100 * DAY_MS }], DAY_MS, ["local"]), whole);
  assert.equal(
    dueDrill(
      [true, false].map((isWhole) => ({ kind: "local", isWhole, startedMs: DAY_MS })),
      2 * DAY_MS,
      ["local"],
    ),
    undefined,
  );
});

test.run();
