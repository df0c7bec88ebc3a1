/** Goal: content is found by its hash from the moment it was sealed; what memory drops is found in the database. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { AgentDatabase, type DatabaseWrite } from "#agent/backup/agent-database.ts";
import { ContentIndex } from "#agent/backup/content-index.ts";
import { primeIdFromBytes } from "#protocol/ids.ts";
import type { ContentSlice } from "#protocol/tree.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("content index");

const hashOf = (number: number): Buffer => createHash("md5").update(`${number}`).digest();
const sliceOf = (number: number): ContentSlice => ({
  prime: {
    id: primeIdFromBytes(createHash("sha256").update(`${number}`).digest()),
    key: Buffer.alloc(32, 1),
    lengthBytes: 9,
  },
  offsetBytes: number % 7,
  lengthBytes: 2,
});
const found = (slices: readonly (ContentSlice | undefined)[]): (string | undefined)[] =>
  slices.map((slice) => slice?.prime.id);

test("new content is unknown, noted content known at once, written content known to the next run", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("contents"));
  const index = new ContentIndex({ database });
  const asked = Buffer.concat([hashOf(1), hashOf(2), Buffer.alloc(16), hashOf(3)]);
  assert.deepEqual(await index.find(asked), [undefined, undefined, undefined, undefined]);
  const writes = [index.note(hashOf(1), sliceOf(1)), index.note(hashOf(3), sliceOf(3))];
  assert.deepEqual(found(await index.find(asked)), found([sliceOf(1), undefined, undefined, sliceOf(3)]));
  assert.deepEqual(await new ContentIndex({ database }).find(asked), [undefined, undefined, undefined, undefined]);
  await database.write(writes);
  const [slice] = await new ContentIndex({ database }).find(asked);
  assert.deepEqual(slice, sliceOf(1));
});

test("memory is bounded: what falls out is unknown until it is in the database", async () => {
  await using database = await AgentDatabase.open(await scratchDirectory("contents"));
  const index = new ContentIndex({ database });
  const writes: DatabaseWrite[] = [];
  const count = 60_000;
  for (let i = 0; i < count; i++) writes.push(index.note(hashOf(i), sliceOf(i)));
  const asked = Buffer.concat([hashOf(0), hashOf(count - 1)]);
  assert.deepEqual(found(await index.find(asked)), found([undefined, sliceOf(count - 1)]));
  await database.write(writes);
  assert.deepEqual(found(await index.find(asked)), found([sliceOf(0), sliceOf(count - 1)]));
});

test.run();
