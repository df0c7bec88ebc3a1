/**
 * Goal: with nothing but a copied data directory, the program and the kit, everything comes back as it was; of a damaged copy, all but
 * what is damaged, by name; and the copy stays as it is. Method: a site and an agent as processes, then the launcher on copies.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { recordHeaderBytes } from "#node/store/record.ts";
import { costor } from "#test/agent/cli/costor-process.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { documentedCommands } from "#test/support/documented-commands.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("extract", { timeoutMs: 180_000 });
const MIB = 1024 ** 2;

let directory: string;
let source: string;
let kit: string;
let data: string;

test.before(async () => {
  directory = await scratchDirectory("extract");
  source = join(directory, "source");
  mkdirSync(source);
  makeTree(source, { deepLevelsCount: 60, wideEntriesCount: 500, sparseBytes: 64 * MIB });
  for (let i = 0; i < 6; i++) writeFileSync(join(source, `large-${i}`), contentOf(i));
  const site = new DemoSite({
    name: "Hill School",
    directory: join(directory, "hill"),
    signal: new AbortController().signal,
  });
  await site.start();
  try {
    await site.enrolAgent();
    await site.backUp([source]);
  } finally {
    await site.stop();
  }
  kit = join(directory, "hill", "kit.txt");
  data = site.data;
});

/** Incompressible, and another for each number. */
function contentOf(number: number): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < (3 * MIB) / 64; at++) pieces.push(createHash("sha512").update(`${number} ${at}`).digest());
  return Buffer.concat(pieces);
}

let copies = 0;
/** A copy with no more than the segments. */
function copyOfSegments(): string {
  const copy = join(directory, `copy-${++copies}`);
  cpSync(join(data, "store/segments"), join(copy, "store/segments"), { recursive: true });
  return copy;
}

const segmentsOf = (copy: string): string[] =>
  readdirSync(join(copy, "store/segments"))
    .toSorted()
    .map((name) => join(copy, "store/segments", name));

/** Of all names and bytes in a directory. */
function stateOf(path: string): string {
  const state = createHash("sha256");
  for (const name of readdirSync(path, { recursive: true, encoding: "utf8" }).toSorted()) {
    state.update(`${name}\0`);
    if (name.endsWith(".seg")) state.update(readFileSync(join(path, name)));
  }
  return state.digest("hex");
}

const extract = (copy: string, ...words: string[]) =>
  costor(["site", "extract", "--data", copy, "--kit", kit, ...words]);

test("everything comes back from the segments alone, by the commands of the page, and nothing is written to the copy", async () => {
  const copy = copyOfSegments();
  const before = stateOf(copy);
  const target = join(directory, "all");
  const stand = { "/mnt/old-disk/costor": copy, "kit.txt": kit, NAME: "office", "/srv/restored": target };
  const [show, restore] = await documentedCommands(
    "docs/restore-elsewhere.md",
    "From its disk, or a copy of it",
    stand,
  );
  assert.match((await costor(show!)).stdout, /office/);
  const ended = await costor([...restore!, "--json"]);
  assert.equal(ended.code, 0, ended.stderr + ended.stdout.slice(0, 2000));
  assert.deepEqual(treeDifferences(source, join(target, source)), []);
  assert.equal(ended.json().failedCount, 0);
  assert.equal(stateOf(copy), before);
});

test("machines, snapshots and directories are shown", async () => {
  const copy = copyOfSegments();
  const [machine] = (await extract(copy, "--list", "--json")).json();
  assert.equal(machine.name, "office");
  assert.equal(machine.snapshotsCount, 1);
  const [snapshot] = (await extract(copy, "--agent", "office", "--json")).json();
  assert.deepEqual(snapshot.roots, [source]);
  const listed = (await extract(copy, "--snapshot", snapshot.id, "--path", source, "--json")).json() as {
    path: string;
  }[];
  assert.ok(listed.some(({ path }) => path === join(source, "large-3")));
});

test("a path, as files or as a tar in a pipe, is what it was", async () => {
  const copy = copyOfSegments();
  const path = join(source, "large-2");
  const target = join(directory, "one");
  assert.equal((await extract(copy, "--path", path, "--target", target, "--verify")).code, 0);
  assert.deepEqual(readFileSync(join(target, path)), readFileSync(path));
  const file = join(directory, "one.tar");
  const written = await extract(copy, "--path", path, "--tar", file, "--json");
  assert.equal(written.code, 0, written.stderr);
  assert.equal(written.json().sha256, createHash("sha256").update(readFileSync(file)).digest("hex"));
  const content = spawnSync("tar", ["-xOf", file], { maxBuffer: 64 * MIB }).stdout;
  assert.deepEqual(content, readFileSync(path));
  const again = await extract(copy, "--path", path, "--tar", file);
  assert.equal(again.code, 2);
  assert.match(again.stderr, /EEXIST/);
});

test("of a damaged copy all comes back but what is damaged, which is named", async () => {
  const copy = copyOfSegments();
  const [first] = segmentsOf(copy);
  const bytes = readFileSync(first!);
  // In the middle of a large file's prime.
  const prime = largePrimeIn(bytes);
  bytes.fill(0xee, prime + recordHeaderBytes + 1000, prime + recordHeaderBytes + 3000);
  writeFileSync(first!, bytes);
  const target = join(directory, "damaged");
  const ended = await extract(copy, "--target", target, "--json");
  assert.equal(ended.code, 3, ended.stderr);
  const { failed } = ended.json() as { failed: { path: string; code: string }[] };
  assert.equal(failed.length, 1);
  assert.equal(failed[0]!.code, "prime-corrupt");
  assert.match(failed[0]!.path, /large-\d$/);
  assert.ok(!existsSync(join(target, failed[0]!.path)));
  const name = failed[0]!.path.slice(source.length + 1);
  const differences = treeDifferences(source, join(target, source), { excludes: (path) => path === name });
  assert.deepEqual(differences, []);
});

/** The place of a record of a prime of more than half a mebibyte. */
function largePrimeIn(segment: Buffer): number {
  for (let at = segment.indexOf("CSr1"); at >= 0; at = segment.indexOf("CSr1", at + 1))
    if (segment[at + 4] === 3 && segment.readUInt32BE(at + 8) > MIB / 2 && segment.readUInt32BE(at + 8) < 5 * MIB)
      return at;
  throw new Error("no large prime");
}

test("a segment's head and its tail may be damaged, and another segment may be foreign", async () => {
  const copy = copyOfSegments();
  const [first] = segmentsOf(copy);
  const bytes = readFileSync(first!);
  bytes.fill(0, 0, 64);
  writeFileSync(first!, Buffer.concat([bytes, Buffer.alloc(5000, 7)]));
  writeFileSync(join(copy, "store/segments/00000099.seg"), "nothing of a store");
  const target = join(directory, "head");
  const ended = await extract(copy, "--target", target, "--json");
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stderr, /damaged/);
  assert.deepEqual(treeDifferences(source, join(target, source)), []);
});

test("another site's kit opens nothing, and a directory without a store is told as such", async () => {
  const other = new DemoSite({
    name: "Other",
    directory: join(directory, "other"),
    signal: new AbortController().signal,
  });
  await other.start();
  await other.stop();
  const copy = copyOfSegments();
  const words = ["site", "extract", "--data", copy, "--kit", join(directory, "other/kit.txt"), "--json"];
  assert.match((await costor(words)).stderr, /"nothing-of-site"/);
  rmSync(join(copy, "store"), { recursive: true });
  assert.match((await extract(copy, "--json")).stderr, /"store-missing"/);
});

test.run();
