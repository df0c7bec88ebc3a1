/**
 * Goal: what the agent's database holds comes back as it was or not at all, and a database that is damaged, of another
 * format or gone costs a backup that reads everything, never a wrong one.
 */
import assert from "node:assert/strict";
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { parsePrimeId } from "#protocol/ids.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { AgentDatabase, type DirectoryKey, childKey, rootKey } from "#agent/backup/agent-database.ts";
import { addToCheck, encodeHead, encodePage } from "#agent/backup/directory-record.ts";
import { forgetSubtree } from "#agent/backup/forgotten-records.ts";
import { count } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine } from "./backup-fixture.ts";

const test = suite("agent database", { timeoutMs: 120_000 });

const signature = Buffer.alloc(32, 5);
const owner = { mode: 0o755, uid: 0, gid: 0, mtimeNs: 1n };
const fifo = (name: string): TreeObject => ({ ...owner, name: name as ByteString, type: "fifo" });
const directory = (name: string): TreeObject => ({
  ...owner,
  name: name as ByteString,
  type: "directory",
  node: { inline: encodePage([]).leaf },
});

const pageOf = (objects: readonly TreeObject[]) => encodePage(objects.map((object) => ({ object, signature })));

/** The writes of a directory's record with these pages, which get numbers from `firstNumber` on. */
function writesOf(
  key: DirectoryKey,
  pages: readonly (readonly TreeObject[])[],
  { firstNumber = 1, droppedPageNumbers = [] as readonly number[] } = {},
) {
  const [first, ...others] = pages.map(pageOf);
  const totals = { objectsCount: pages.flat().length, filesCount: 0, bytes: 0 };
  const pageNumbers = others.map((_, index) => firstNumber + index);
  const pagesCheck = others.reduce((check, { page }) => addToCheck(check, page), 0);
  const node = { inline: first!.leaf };
  const head = encodeHead({ pageNumbers, pagesCheck, node, totals, inlinedLevelsCount: 0, pageSlices: [] });
  return [
    ...others.map(({ page }, index) => AgentDatabase.pageWrite(key, firstNumber + index, page)),
    ...AgentDatabase.headWrites(key, { head, firstPage: first!.page, droppedPageNumbers }),
  ];
}

const key = rootKey("/root" as ByteString);
const namesOf = (database: AgentDatabase, of = key): string[] | undefined => {
  const record = database.directory(of);
  return record && Array.from({ length: record.pagesCount }, (_, i) => record.page(i).names).flat();
};

test("a directory's pages come back, and fewer pages leave none of the former ones", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("database"));
  assert.equal(database.directory(key), undefined);
  await database.write(writesOf(key, [[fifo("a"), fifo("b")], [fifo("c")], [fifo("d")]]));
  assert.deepEqual(namesOf(database), ["a", "b", "c", "d"]);
  await database.write(writesOf(key, [[fifo("x")]], { droppedPageNumbers: [1, 2] }));
  assert.deepEqual(namesOf(database), ["x"]);
  await database.write(AgentDatabase.forgetWrites(key, database.directory(key)!.head));
  assert.equal(database.directory(key), undefined);
});

test("pages that were written before their head leave the record in force as it was", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("database"));
  await database.write(writesOf(key, [[fifo("a")], [fifo("b")], [fifo("c")]]));
  const next = writesOf(key, [[fifo("x")], [fifo("y")]], { firstNumber: 3, droppedPageNumbers: [1, 2] });
  const record = database.directory(key)!;
  await database.write(next.slice(0, 1));
  assert.deepEqual(namesOf(database), ["a", "b", "c"]);
  assert.deepEqual(record.page(2).names, ["c"]);
  await database.write(next.slice(1));
  assert.deepEqual(namesOf(database), ["x", "y"]);
});

test("a directory of which a page is another record's counts as absent", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("database"));
  await database.write(writesOf(key, [[fifo("a")], [fifo("b")], [fifo("c")]]));
  await database.write([AgentDatabase.pageWrite(key, 2, pageOf([fifo("d")]).page)]);
  assert.equal(database.directory(key), undefined);
  await database.write([AgentDatabase.pageWrite(key, 2, pageOf([fifo("c")]).page)]);
  assert.deepEqual(namesOf(database), ["a", "b", "c"]);
});

test("keys of directories tell apart what paths do not", () => {
  const text = (at: DirectoryKey): string => at.toString("hex");
  const child = (at: DirectoryKey, name: string): DirectoryKey => childKey(at, name as ByteString);
  const all = [rootKey("/a/b" as ByteString), rootKey("/a" as ByteString), child(rootKey("/a" as ByteString), "b")];
  all.push(child(child(key, "a"), "b"), child(key, "ab"), child(key, "a"), child(key, "b"));
  assert.equal(new Set(all.map(text)).size, all.length);
});

test("a subtree is forgotten with all below it, and nothing beside it", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("database"));
  const [gone, deeper, kept] = ["gone", "deeper", "kept"] as ByteString[];
  const goneKey = childKey(key, gone!);
  await database.write(writesOf(key, [[directory("gone"), directory("kept")]]));
  await database.write(writesOf(goneKey, [[fifo("f")], [directory("deeper")]]));
  await database.write(writesOf(childKey(goneKey, deeper!), [[fifo("bottom")]]));
  await database.write(writesOf(childKey(key, kept!), [[fifo("stays")]]));
  for (const writes of forgetSubtree({ database, bundles: { writes: () => [] } }, key, gone!))
    await database.write(writes);
  assert.equal(namesOf(database, goneKey), undefined);
  assert.equal(namesOf(database, childKey(goneKey, deeper!)), undefined);
  assert.deepEqual(namesOf(database, childKey(key, kept!)), ["stays"]);
});

test("the prime of the last root comes back, until a root is inlined or the directories are forgotten", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("database"));
  assert.equal(database.rootId(), undefined);
  const prime = { id: parsePrimeId("ab".repeat(32)), key: Buffer.alloc(32), lengthBytes: 100 };
  const remember = () =>
    database.write([AgentDatabase.rootWrite({ slice: { prime, offsetBytes: 0, lengthBytes: 100 } })]);
  await remember();
  assert.equal(database.rootId(), prime.id);
  await database.write([AgentDatabase.rootWrite({ inline: encodePage([]).leaf })]);
  assert.equal(database.rootId(), undefined);
  await remember();
  await database.forgetDirectories();
  assert.equal(database.rootId(), undefined);
});

test("contents and notes come back; forgetting directories leaves them", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("database"));
  const [one, other] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
  await database.write([AgentDatabase.contentWrite(one, Buffer.from("where")), ...writesOf(key, [[fifo("a")]])]);
  await database.write([AgentDatabase.metaWrite("name", Buffer.from("value"))], true);
  await database.forgetDirectories();
  assert.equal(database.directory(key), undefined);
  assert.deepEqual(await database.contents([other, one]), [undefined, Buffer.from("where")]);
  assert.deepEqual(await Array.fromAsync(database.allContents()), [{ contentHash: one, slice: Buffer.from("where") }]);
  assert.equal(database.meta("name")?.toString(), "value");
  await database.forgetContents([one]);
  await database.write([AgentDatabase.metaWrite("name", undefined)]);
  assert.deepEqual([await database.contents([one]), database.meta("name")], [[undefined], undefined]);
});

test("a second one on the same directory is told that the agent is busy", async () => {
  const path = await scratchDirectory("database");
  await using _ = await AgentDatabase.open(path);
  await assert.rejects(AgentDatabase.open(path), { code: "agent-busy" });
});

test("a value that was changed, cut or moved to another key counts as absent; so does a directory that lacks a page", async () => {
  const path = await scratchDirectory("database");
  const hash = Buffer.alloc(16, 1);
  {
    await using database = await AgentDatabase.open(path);
    await database.write([
      ...writesOf(key, [[fifo("a")], [fifo("b")]]),
      AgentDatabase.contentWrite(hash, Buffer.alloc(76, 3)),
    ]);
  }
  const options = { keyEncoding: "buffer", valueEncoding: "buffer" } as const;
  const change = async (edit: (level: ClassicLevel<Buffer, Buffer>) => Promise<void>): Promise<void> => {
    const level = new ClassicLevel<Buffer, Buffer>(path, options);
    await edit(level);
    await level.close();
  };
  const entries: [Buffer, Buffer][] = [];
  await change(async (level) => void entries.push(...(await level.iterator().all())));
  for (const [damagedKey, value] of entries) {
    if (["mformat", "mcontent-key"].includes(damagedKey.toString())) continue;
    const [, other] = entries.find(([candidate]) => !candidate.equals(damagedKey))!;
    const flipped = Buffer.from(value);
    flipped[Math.floor(value.length / 2)]! ^= 1;
    for (const damaged of [flipped, value.subarray(0, -1), value.subarray(0, 3), Buffer.alloc(0), other]) {
      await change((level) => level.put(damagedKey, damaged));
      await using database = await AgentDatabase.open(path);
      const found = [namesOf(database), (await database.contents([hash]))[0]];
      const isContent = damagedKey[0] === "c".charCodeAt(0);
      assert.deepEqual(found, isContent ? [["a", "b"], undefined] : [undefined, Buffer.alloc(76, 3)]);
    }
    await change((level) => level.put(damagedKey, value));
  }
});

test("a database whose content key is lost is made anew with another: its hashes say nothing any more", async () => {
  const path = await scratchDirectory("database");
  const hash = Buffer.alloc(16, 1);
  const keys: string[] = [];
  for (let round = 0; round < 2; round++) {
    await using database = await AgentDatabase.open(path);
    keys.push(database.contentKey.toString("hex"));
    assert.deepEqual(await database.contents([hash]), [undefined]);
    await database.write([AgentDatabase.contentWrite(hash, Buffer.from("where"))]);
    await database.write([AgentDatabase.metaWrite("content-key", undefined)]);
  }
  assert.equal(new Set(keys).size, 2);
});

test("a content key stays as long as its database", async () => {
  const path = await scratchDirectory("database");
  const keys: string[] = [];
  for (let round = 0; round < 2; round++) {
    await using database = await AgentDatabase.open(path);
    keys.push(database.contentKey.toString("hex"));
  }
  assert.equal(keys[0]!.length, 64);
  assert.equal(keys[0], keys[1]);
});

test("a database of another format is made anew", async () => {
  const path = await scratchDirectory("database");
  {
    await using database = await AgentDatabase.open(path);
    await database.write([AgentDatabase.metaWrite("format", Buffer.from("0")), ...writesOf(key, [[fifo("a")]])]);
  }
  await using database = await AgentDatabase.open(path);
  assert.equal(database.directory(key), undefined);
});

test("what keeps a database from being opened is told, and costs nothing of it", async () => {
  const path = await scratchDirectory("database");
  {
    await using database = await AgentDatabase.open(path);
    await database.write(writesOf(key, [[fifo("a")]]), true);
  }
  const lock = join(path, "LOCK");
  rmSync(lock);
  mkdirSync(lock);
  await assert.rejects(AgentDatabase.open(path), { code: "path-unusable" });
  rmdirSync(lock);
  await using database = await AgentDatabase.open(path);
  assert.deepEqual(namesOf(database), ["a"]);
});

/** The database's files that hold anything, by size. */
const filesOf = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => statSync(join(path, name)).size > 0 && !name.startsWith("LOG"))
    .map((name) => join(path, name));

test("whatever byte of its files is changed, the next backup is right", async () => {
  const machine = await TestMachine.make("damage");
  for (let i = 0; i < 40; i++) writeFileSync(machine.path(`${i}`), `content ${i}`);
  await machine.backUp();
  await machine.backUp();
  const index = join(machine.databaseDirectory, "index");
  const tries = count(2, 24);
  let rereadCount = 0;
  for (const kind of [/CURRENT/, /MANIFEST/, /\.log$/, /\.ldb$/]) {
    for (let i = 0; i < tries; i++) {
      const file = filesOf(index).find((path) => kind.test(path));
      if (!file) continue;
      const bytes = readFileSync(file);
      const at = Math.floor(((i + 0.5) / tries) * bytes.length);
      bytes[at]! ^= 1 << (i % 8);
      writeFileSync(file, bytes);
      writeFileSync(machine.path("new"), `${kind} ${i}`);
      const report = await machine.backUp();
      if (report.readFilesCount > 1) rereadCount++;
      assert.deepEqual(await machine.restoreDifferences(), [], `byte ${at} of ${file}`);
    }
  }
  assert.ok(rereadCount > 0, "some damage mattered");
});

test("a database that is cut short, or gone, has everything read again and nothing sent", async () => {
  const machine = await TestMachine.make("cut");
  for (let i = 0; i < 10; i++) writeFileSync(machine.path(`${i}`), `content ${i}`);
  await machine.backUp();
  for (const file of filesOf(join(machine.databaseDirectory, "index"))) truncateSync(file, 10);
  assert.equal((await machine.backUp()).readFilesCount, 10);
  assert.equal(machine.site.sentPrimesCount, 0);
  rmSync(join(machine.databaseDirectory, "index"), { recursive: true });
  assert.equal((await machine.backUp()).readFilesCount, 10);
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.equal((await machine.backUp()).readFilesCount, 0);
});

test("an agent's database that fails under way ends the backup, and is no fault of a directory", async () => {
  const machine = await TestMachine.make("database");
  mkdirSync(machine.path("open"));
  for (const name of ["a", "open/b"]) writeFileSync(machine.path(name), `content of ${name}`);
  await machine.backUp();
  writeFileSync(machine.path("open/new"), "new");
  const { directory: found } = AgentDatabase.prototype;
  let askedCount = 0;
  AgentDatabase.prototype.directory = function (this: AgentDatabase, ...key) {
    if (++askedCount === 2) throw new CostorError("path-unusable", "the agent's database fails for a test");
    return found.apply(this, key);
  };
  try {
    await assert.rejects(machine.backUp(), { code: "path-unusable" });
  } finally {
    AgentDatabase.prototype.directory = found;
  }
  assert.equal((await machine.backUp()).unreadableCount, 0);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test.run();
