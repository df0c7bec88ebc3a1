/**
 * Goal: the agent knows how much of each bundle its last snapshot holds, whatever happened to the files, and lays what is
 * left in worn bundles into new ones, once it is worth it and not again and again.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AgentDatabase } from "#agent/backup/agent-database.ts";
import { BundleUse, type BundleChanges } from "#agent/backup/bundle-use.ts";
import type { PrimeId } from "#protocol/ids.ts";
import type { NodePointer } from "#protocol/tree.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine } from "./backup-fixture.ts";

const test = suite("bundle use", { timeoutMs: 60_000 });

/** What the newest snapshot holds of each bundle, by its tree. */
async function heldByTree(machine: TestMachine): Promise<Map<PrimeId, number>> {
  const held = new Map<PrimeId, number>();
  const waiting: NodePointer[] = [machine.site.root()];
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    for await (const object of machine.site.reader.objects(node)) {
      if (object.type === "directory") waiting.push(object.node);
      if (object.type !== "file" || !("slices" in object.content)) continue;
      for (const { prime, lengthBytes } of object.content.slices)
        if (lengthBytes < prime.lengthBytes) held.set(prime.id, (held.get(prime.id) ?? 0) + lengthBytes);
    }
  }
  return held;
}

async function heldByDatabase(machine: TestMachine): Promise<Map<PrimeId, number>> {
  await using database = await AgentDatabase.open(join(machine.databaseDirectory, "index"));
  const held = new Map<PrimeId, number>();
  for await (const [id, { heldBytes }] of database.allBundles()) held.set(id, heldBytes);
  return held;
}

const sorted = (held: Map<PrimeId, number>): [PrimeId, number][] => [...held].sort(([a], [b]) => (a < b ? -1 : 1));

/** Files of 20 kB, so many in each of four directories. */
function makeFiles(machine: TestMachine, perDirectory: number): void {
  for (const name of ["a", "b", "c", "d"]) {
    mkdirSync(machine.path(name, "inner"), { recursive: true });
    for (let i = 0; i < perDirectory; i++)
      writeFileSync(machine.path(name, i % 2 ? "inner" : ".", `${i}`), randomBytes(20_000));
  }
}

test("what is held of each bundle is what the tree says, after every kind of change", async () => {
  const machine = await TestMachine.make("bundles");
  makeFiles(machine, 12);
  writeFileSync(machine.path("twin"), "alike");
  writeFileSync(machine.path("a/twin"), "alike");
  const changes: (() => void)[] = [
    () => undefined,
    () => writeFileSync(machine.path("a/0"), randomBytes(10_000)),
    () => chmodSync(machine.path("a/2"), 0o600),
    () => rmSync(machine.path("b/2")),
    () => renameSync(machine.path("c"), machine.path("z")),
    () => rmSync(machine.path("d/inner"), { recursive: true }),
    () => writeFileSync(machine.path("d/inner"), "a file now"),
    () => rmSync(machine.path("a/twin")),
    () => renameSync(machine.path("b/4"), machine.path("a/4-moved")),
    () => rmSync(machine.path("b"), { recursive: true }),
    () => writeFileSync(machine.path("a/6"), randomBytes(400_000)),
  ];
  for (const [index, change] of changes.entries()) {
    change();
    await machine.backUp();
    assert.deepEqual(sorted(await heldByDatabase(machine)), sorted(await heldByTree(machine)), `change ${index}`);
  }
  rmSync(machine.path("a/8"));
  await machine.backUp({ config: { exclude: ["z"] } });
  assert.deepEqual(sorted(await heldByDatabase(machine)), sorted(await heldByTree(machine)));
});

test("once worn bundles waste enough, what is left in them is laid into new ones, once", async () => {
  const machine = await TestMachine.make("worn");
  makeFiles(machine, 60);
  await machine.backUp();
  const before = await heldByTree(machine);
  for (const name of ["a", "b", "c", "d"])
    for (let i = 0; i < 60; i++) if (i % 3 !== 0) rmSync(machine.path(name, i % 2 ? "inner" : ".", `${i}`));
  const removal = await machine.backUp();
  assert.deepEqual([removal.filesCount, removal.readFilesCount, machine.site.sentBytes], [80, 0, 0]);
  const promised = await machine.backUp({ dryRun: true });
  const repacking = await machine.backUp();
  assert.ok(repacking.readFilesCount > 40, `${repacking.readFilesCount} files are read`);
  assert.equal(promised.readFilesCount, repacking.readFilesCount);
  const after = await heldByTree(machine);
  const lengths = await (async () => {
    await using database = await AgentDatabase.open(join(machine.databaseDirectory, "index"));
    return new Map(await Array.fromAsync(database.allBundles()));
  })();
  for (const [id, { heldBytes, lengthBytes }] of lengths) assert.ok(heldBytes * 2 >= lengthBytes, `${id} is worn`);
  assert.ok([...before.keys()].filter((id) => after.has(id)).length < before.size / 2, "old bundles can go");
  assert.deepEqual(sorted(await heldByDatabase(machine)), sorted(after));
  assert.equal((await machine.backUp()).readFilesCount, 0);
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a few files gone from their bundles have nothing repacked", async () => {
  const machine = await TestMachine.make("hardly-worn");
  makeFiles(machine, 60);
  await machine.backUp();
  for (let i = 0; i < 60; i += 3) rmSync(machine.path("a", i % 2 ? "inner" : ".", `${i}`));
  for (let i = 0; i < 3; i++) assert.equal((await machine.backUp()).readFilesCount, 0);
});

test("what repacking cannot reach is left until more is worn", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("bundles"));
  const id = (number: number): PrimeId => number.toString(16).padStart(64, "0") as PrimeId;
  const held = async (from: number, to: number, heldBytes: number): Promise<BundleUse> => {
    const use = new BundleUse({ database });
    const changes: BundleChanges = new Map();
    for (let i = from; i < to; i++) changes.set(id(i), { heldBytes, lengthBytes: 500_000 });
    await database.write(use.writes(changes));
    return use;
  };
  const wornCount = async (): Promise<number> => (await new BundleUse({ database }).worn(0)).size;
  await (await held(0, 10, 500_000)).sumUp(false);
  assert.equal(await wornCount(), 0);
  await (await held(0, 10, -400_000)).sumUp(false);
  assert.equal(await wornCount(), 10);
  assert.equal((await new BundleUse({ database }).worn(1e9)).size, 0, "little of a large snapshot");
  // A run repacks, but these files lie under a root that it does not see.
  await (await held(0, 1, -1)).sumUp(true);
  assert.equal(await wornCount(), 0);
  await (await held(10, 15, 100_000)).sumUp(false);
  assert.equal(await wornCount(), 15);
  // A run that changes nothing reads and writes nothing of this.
  await new BundleUse({ database }).sumUp(false);
  assert.equal(await wornCount(), 15);
  await (await held(0, 15, -100_000)).sumUp(false);
  assert.deepEqual([await wornCount(), await Array.fromAsync(database.allBundles())], [0, []]);
});

test.run();
