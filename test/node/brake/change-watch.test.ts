/**
 * Goal: a backup of files that were encrypted raises one alarm, whatever their names, and ordinary backups raise none. Method: trees of
 * real primes in a site's own registries; text and pictures that are encrypted, renamed, moved, deleted.
 */
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { ChangeWatch } from "#node/brake/change-watch.ts";
import { type BrakeAlarm, BrakeAlarms } from "#node/site/brake-alarms.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotResponse } from "#protocol/http.ts";
import { type AgentId, type SnapshotId, makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { noise } from "#test/support/noise.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("change-watch");

type Files = Readonly<Record<string, Buffer>>;
const textOf = (name: string): Buffer => Buffer.from(`${name}: what was taught on this day, and to whom\n`.repeat(30));
const encrypt = (plain: Buffer): Buffer =>
  createCipheriv("aes-256-ctr", noise("key", 32), noise("iv", 16)).update(plain);
const mapped = (files: Files, change: (name: string, content: Buffer) => [string, Buffer]): Files =>
  Object.fromEntries(Object.entries(files).map(([name, content]) => change(name, content)));
const school: Files = Object.fromEntries(
  Array.from({ length: 200 }, (_, at) => [`lesson ${at}.txt`, textOf(`lesson ${at}`)]),
);

class WatchedSite {
  readonly agent: AgentId = parseAgentId(makeUuidV7(1));
  readonly raised: BrakeAlarm[] = [];
  readonly #maker = new TreeMaker();
  readonly #snapshots: SnapshotResponse[] = [];
  #madeCount = 0;
  /** What the snapshots reach is not here, and comes back yet. */
  isRegaining = false;
  readonly store = createMemoryStore();
  #alarms: BrakeAlarms | undefined;

  async alarms(): Promise<BrakeAlarms> {
    return (this.#alarms ??= await BrakeAlarms.open({ store: this.store, now: () => 1000 }));
  }

  /** It leaves the list, as what people remove does. */
  remove(id: SnapshotId): void {
    this.#snapshots.splice(
      this.#snapshots.findIndex((one) => one.id === id),
      1,
    );
  }

  restart(): void {
    this.#alarms = undefined;
  }

  backUp(files: Files, job = "daily"): SnapshotId {
    const objects = Object.entries(files).map(([name, content]) => this.#maker.file(name, content));
    const root = nodePointerToWire(this.#maker.node([this.#maker.directory("school", this.#maker.node(objects))]));
    const at = ++this.#madeCount;
    const id = parseSnapshotId(makeUuidV7(at));
    this.#snapshots.push({
      ...{ id, job, roots: [], startedMs: at, receivedMs: at, objectsCount: objects.length, bytes: 0 },
      ...{ filesCount: objects.length, unreadableCount: 0, root },
    });
    return id;
  }

  async look(): Promise<readonly BrakeAlarm[]> {
    const alarms = await this.alarms();
    const watch = new ChangeWatch({
      store: {
        get: async (id) => {
          const found = this.isRegaining ? undefined : this.#maker.primes.find((prime) => prime.id === id);
          if (!found) throw new CostorError("prime-missing", id);
          return Buffer.from(found.stored);
        },
        fact: (kind, key) => this.store.fact(kind, key),
        appendFacts: (facts) => this.store.appendFacts(facts),
      },
      snapshots: {
        list: async () => this.#snapshots,
        get: async (_, id) => this.#snapshots.find((one) => one.id === id)!,
      },
      isRegaining: () => this.isRegaining,
      ...{ alarms, rng: new SeededRng(1), onAlarm: (alarm) => void this.raised.push(alarm) },
    });
    await watch.look(this.agent, new AbortController().signal);
    return alarms.standing();
  }
}

test("files that are encrypted in place raise an alarm, once, that names the last good snapshot", async () => {
  const site = new WatchedSite();
  site.backUp(school);
  const good = site.backUp({ ...school, "new.txt": textOf("new") });
  const bad = site.backUp(mapped(school, (name, content) => [name, encrypt(content)]));
  const [alarm, ...others] = await site.look();
  assert.deepEqual(others, []);
  assert.deepEqual([alarm?.snapshot, alarm?.before, alarm?.job], [bad, good, "daily"]);
  assert.deepEqual(alarm?.findings, ["mass-change", "types-lost", "incompressible"]);
  assert.deepEqual([alarm?.filesBefore, alarm?.changedCount, alarm?.removedCount], [201, 200, 1]);
  await site.look();
  site.restart();
  assert.equal((await site.look()).length, 1);
  assert.equal(site.raised.length, 1);
});

test("a few dozen of many files that are encrypted under other names raise an alarm", async () => {
  const site = new WatchedSite();
  site.backUp(school);
  const names = Object.keys(school).slice(0, 40);
  site.backUp(
    mapped(school, (name, content) => (names.includes(name) ? [`${name}.locked`, encrypt(content)] : [name, content])),
  );
  assert.deepEqual((await site.look())[0]?.findings, ["types-lost", "incompressible"]);
});

test("what is edited, moved and new raises none", async () => {
  const site = new WatchedSite();
  site.backUp(school);
  site.backUp(
    mapped(school, (name, content) => [
      name.endsWith("0.txt") ? name : name,
      Buffer.concat([content, textOf("more").subarray(0, name.endsWith("0.txt") ? 50 : 0)]),
    ]),
  );
  site.backUp(mapped(school, (name, content) => [`moved ${name}`, content]));
  site.backUp({ ...school, ...mapped(school, (name, content) => [`copy of ${name}`, content]) });
  assert.deepEqual(await site.look(), []);
});

test("jobs are compared with themselves only", async () => {
  const site = new WatchedSite();
  site.backUp(school);
  site.backUp({ "other.txt": textOf("other") }, "mail");
  site.backUp(school);
  assert.deepEqual(await site.look(), []);
});

test("most files deleted raise an alarm; a person settles it, and the record stays", async () => {
  const site = new WatchedSite();
  site.backUp(school);
  const bad = site.backUp({ "lesson 1.txt": school["lesson 1.txt"]! });
  assert.deepEqual((await site.look())[0]?.findings, ["mass-change"]);
  const alarms = await site.alarms();
  await assert.rejects(alarms.settle("ffffffff", "nothing"), { code: "alarm-unknown" });
  const settled = await alarms.settle(bad.slice(0, 20), "the old year was cleared");
  assert.deepEqual([settled.settledMs, settled.note], [1000, "the old year was cleared"]);
  site.restart();
  assert.deepEqual(await site.look(), []);
  assert.deepEqual((await site.alarms()).list(), [settled]);
  await assert.rejects(alarms.settle(bad, "again"), { code: "alarm-unknown" });
});

const encrypted = mapped(school, (name, content) => [name, encrypt(content)]);

test("one that is encrypted is found behind any number of others that came before anybody looked", async () => {
  for (const isSeenRemoved of [false, true]) {
    const site = new WatchedSite();
    const first = site.backUp(school);
    const seen = site.backUp({ ...school, "new.txt": textOf("new") });
    await site.look();
    for (let copy = 0; copy < 30; copy++) site.backUp(encrypted);
    if (isSeenRemoved) site.remove(seen);
    const [alarm, ...others] = await site.look();
    assert.deepEqual(others, []);
    assert.equal(alarm?.before, isSeenRemoved ? first : seen);
    assert.equal((await site.look()).length, 1);
  }
});

test("what a person has settled stays so, whatever leaves the list afterwards and though the last look is forgotten", async () => {
  const site = new WatchedSite();
  site.backUp(school);
  const bad = site.backUp(encrypted);
  const seen = site.backUp(encrypted);
  await site.look();
  await (await site.alarms()).settle(bad, "a new disk encryption");
  site.remove(seen);
  assert.deepEqual(await site.look(), []);
  await site.store.appendFacts([{ kind: "brake-seen", key: `${site.agent}/daily`, value: undefined }]);
  site.restart();
  assert.deepEqual(await site.look(), []);
  assert.equal(site.raised.length, 1);
  assert.equal((await site.alarms()).list()[0]?.note, "a new disk encryption");
});

test("what has not come back yet after a disaster is looked at when it has", async () => {
  const site = new WatchedSite();
  const good = site.backUp(school);
  site.backUp(encrypted);
  site.isRegaining = true;
  assert.deepEqual(await site.look(), []);
  site.isRegaining = false;
  assert.equal((await site.look())[0]?.before, good);
});

test.run();
