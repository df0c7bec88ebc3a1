// Goal: the bench's trees depend on nothing but their seed, and changes to them can be undone. Method: small trees, twice.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { scratchDirectory } from "#test/support/scratch.ts";
import { rsyncDifferences, isRsyncInstalled } from "#test/support/rsync-compare.ts";
import { suite } from "#test/support/suite.ts";
import { corpusCounts, largeFileCorpus, manyFilesCorpus } from "./corpora.ts";
import { blockBytes, fileBlock, seededFractions, shuffle } from "./generated-content.ts";

const test = suite("bench corpora");

test("every block of the generated file has full length and some repeat an earlier one", () => {
  const blocks = Array.from({ length: 2_000 }, (_, index) => fileBlock("test", index));
  assert.ok(blocks.every((block) => block.length === blockBytes));
  const distinct = new Set(blocks.map((block) => createHash("sha256").update(block).digest("hex")));
  assert.ok(distinct.size > 1_500 && distinct.size < 1_950, `${distinct.size} distinct blocks`);
});

test("a seeded shuffle gives one order for one seed", () => {
  const order = (seed: string): number[] => shuffle([...Array(100).keys()], seededFractions(seed));
  assert.deepEqual(order("a"), order("a"));
  assert.notDeepEqual(order("a"), order("b"));
});

test("the changed large file differs in about 1 % and goes back to what it was", async () => {
  const corpus = await largeFileCorpus(await scratchDirectory("bench-large"), true);
  const path = join(corpus.paths[0]!, "image.bin");
  const first = await readFile(path);
  await corpus.setRevision(1);
  const second = await readFile(path);
  let changedCount = 0;
  for (let at = 0; at < first.length; at++) if (first[at] !== second[at]) changedCount++;
  assert.equal(second.length, first.length);
  assert.ok(changedCount > first.length * 0.005 && changedCount < first.length * 0.02, `${changedCount} bytes changed`);
  await corpus.setRevision(0);
  assert.ok(first.equals(await readFile(path)));
});

test("many small files come out the same twice", async ({ skip }) => {
  if (!isRsyncInstalled()) skip("rsync is not installed");
  const [one, two] = [
    await manyFilesCorpus(await scratchDirectory("bench-many"), 500),
    await manyFilesCorpus(await scratchDirectory("bench-many"), 500),
  ];
  assert.equal(corpusCounts(one).fileCount, 500);
  const differences = await rsyncDifferences(one.paths[0]!, two.paths[0]!);
  assert.deepEqual(
    differences.filter((line) => !line.startsWith(".d..t...... ")),
    [],
  );
});

test.run();
