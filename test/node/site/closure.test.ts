/** A commit is complete only when the agent itself has sent everything that the root reaches. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type ClosureComponents, verifyClosure } from "#node/site/closure.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { PrimeReference } from "#protocol/sealing.ts";
import { type ContentSlice, type NodePointer, encodeIndex, encodeReferencePage } from "#protocol/tree.ts";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker, whole } from "#test/support/trees.ts";

const test = suite("closure of a commit");
const agent = makeUuidV7(1) as AgentId;
const home = sampleSite(1);
const other = makeUuidV7(2) as AgentId;

const keeping = (store: PrimeStore): ClosureComponents => ({ store, keep: (ids) => store.keep(home, ids) });
const keptIn = async (store: PrimeStore): Promise<PrimeId[]> => (await Array.fromAsync(store.kept(home))).flat();

async function missingOf(store: PrimeStore, root: NodePointer, asker = agent): Promise<PrimeId[]> {
  try {
    await verifyClosure(keeping(store), asker, root);
    return [];
  } catch (error) {
    if (isCostorError(error, "commit-incomplete")) return error.details["missing"] as PrimeId[];
    throw error;
  }
}

/** A tree with every kind of reference: slices, inlined nodes, index nodes, reference pages of two levels. */
function makeTree() {
  const maker = new TreeMaker();
  const chunks = Array.from({ length: 4 }, () => whole(maker.seal(randomBytes(50), "content")));
  const lower = [chunks.slice(0, 2), chunks.slice(2)].map((slices) =>
    whole(maker.seal(encodeReferencePage(slices), "tree")),
  );
  const upper = whole(maker.seal(encodeReferencePage(lower), "tree"));
  const large = { ...maker.file("large"), content: { pages: [upper], depth: 2 } } as ReturnType<TreeMaker["file"]>;
  const pages = ["a", "m"].map((name) => ({
    firstName: byteStringFromText(name),
    slice: sliceOf(maker.node([maker.file(name)])),
  }));
  const wide = { slice: whole(maker.seal(encodeIndex(pages), "tree")) };
  const deep = maker.node([
    maker.directory("inner", maker.inline([maker.file("leaf"), maker.directory("wide", wide)])),
  ]);
  const root = maker.inline([maker.directory("deep", deep), large]);
  return { maker, root };
}

function sliceOf(pointer: NodePointer) {
  assert.ok("slice" in pointer);
  return pointer.slice;
}

test("a tree that was sent whole is complete, and one that lacks any single reachable prime is not", async () => {
  const { maker, root } = makeTree();
  const full = createMemoryStore();
  await full.put(agent, maker.primes);
  assert.deepEqual(await missingOf(full, root), []);
  for (const absent of maker.primes) {
    const store = createMemoryStore();
    await store.put(
      agent,
      maker.primes.filter((prime) => prime !== absent),
    );
    const missing = await missingOf(store, root);
    // `file()` of `large` seals a content that the pages replaced.
    const isUnreached = absent.id === maker.primes[7]!.id;
    assert.deepEqual(missing, isUnreached ? [] : [absent.id]);
  }
});

test("everything that a root reaches is kept, and nothing else, before any of it is closed", async () => {
  const { maker, root } = makeTree();
  const store = createMemoryStore();
  await store.put(agent, maker.primes);
  const failure = new Error("no room");
  const failing = { store, keep: () => Promise.reject(failure) };
  await assert.rejects(verifyClosure(failing, agent, root), failure);
  const readCount = store.read.length;
  await verifyClosure(keeping(store), agent, root);
  assert.ok(store.read.length > readCount, "nothing was closed");
  const reached = maker.primes.filter((_, at) => at !== 7).map(({ id }) => id);
  assert.deepEqual(await keptIn(store), reached.toSorted());
  assert.equal(reached.length, maker.primes.length - 1, "the content that the pages replaced is not reached");
  await store.release(home, reached);
  await verifyClosure(keeping(store), agent, root);
  assert.deepEqual(await keptIn(store), reached.toSorted(), "what was released is kept again");
});

test("what only another agent has sent is missing", async () => {
  const { maker, root } = makeTree();
  const store = createMemoryStore();
  await store.put(other, maker.primes);
  assert.equal((await missingOf(store, root)).length > 0, true);
  await missingOf(store, root, other);
  assert.equal((await missingOf(store, root)).length > 0, true, "the other agent's closed marks do not help");
});

test("a second commit reads nothing that the first has closed, until something was lost", async () => {
  const { maker, root } = makeTree();
  const store = createMemoryStore();
  await store.put(agent, maker.primes);
  await missingOf(store, root);
  const readCount = store.read.length;
  assert.deepEqual(await missingOf(store, root), []);
  assert.equal(store.read.length, readCount);
  store.lose(maker.primes[0]!.id);
  assert.deepEqual(await missingOf(store, root), [maker.primes[0]!.id]);
});

test("a tree that is met twice is walked once, however often it is named", async () => {
  const maker = new TreeMaker();
  const store = createMemoryStore();
  let node = maker.node([maker.file("leaf")]);
  for (let level = 0; level < 40; level++) node = maker.node([maker.directory("a", node), maker.directory("b", node)]);
  await store.put(agent, maker.primes);
  assert.deepEqual(await missingOf(store, node), []);
  assert.ok(store.read.length <= 41);
});

test("ten thousand levels and a hundred thousand missing primes stay bounded", async () => {
  const maker = new TreeMaker();
  const store = createMemoryStore();
  let node = maker.node([]);
  for (let level = 0; level < 10_000; level++) node = maker.node([maker.directory("d", node)]);
  await store.put(agent, maker.primes);
  assert.deepEqual(await missingOf(store, node), []);

  const reference = (): ReturnType<typeof whole> =>
    whole({ id: randomBytes(32).toString("hex") as PrimeId, key: Buffer.alloc(32), lengthBytes: 1 });
  const pages = Array.from({ length: 13 }, () =>
    whole(maker.seal(encodeReferencePage(Array.from({ length: 8000 }, reference)), "tree")),
  );
  const file = { ...maker.file("f"), content: { pages, depth: 1 } } as ReturnType<TreeMaker["file"]>;
  await store.put(agent, maker.primes);
  assert.equal((await missingOf(store, maker.node([file]), agent)).length, 1, "the root itself");
  await store.put(agent, maker.primes.slice(-1));
  assert.equal((await missingOf(store, maker.node([file]))).length, limits.commitMissingCount);
});

const wideCount = 14 * 4096;

/** An index over distinct slices of one prime, as many as fit a page; `last` is the last of them. */
function wideIndex(maker: TreeMaker, prime: PrimeReference, number: number, last?: ContentSlice): ContentSlice {
  const pages = Array.from({ length: wideCount }, (_, place) => ({
    firstName: String.fromCharCode(
      ...[40_000, 200, 1].map((unit) => 48 + (Math.floor(place / unit) % 200)),
    ) as ByteString,
    slice: last && place === wideCount - 1 ? last : { prime, offsetBytes: number * wideCount + place, lengthBytes: 10 },
  }));
  return whole(maker.seal(encodeIndex(pages), "tree"));
}

test("a tree with more slices than a walk may meet is refused, though every one is of the same missing prime", async () => {
  const maker = new TreeMaker();
  const store = createMemoryStore();
  const absent = { id: "ab".repeat(32) as PrimeId, key: Buffer.alloc(32), lengthBytes: limits.primePlainBytes };
  const directories = Array.from({ length: Math.ceil(limits.commitSlicesCount / wideCount) }, (_, number) =>
    maker.directory(`${number}`, { slice: wideIndex(maker, absent, number) }),
  );
  const root = maker.node(directories);
  await store.put(agent, maker.primes);
  await assert.rejects(verifyClosure(keeping(store), agent, root), /that no earlier snapshot has/);
});

test("a tree of which too much waits while the walk goes down is refused, and none waits for what was entered", async () => {
  const maker = new TreeMaker();
  const store = createMemoryStore();
  const filler = maker.seal(randomBytes(limits.primePlainBytes), "tree");
  const make = (levelsCount: number) => {
    let slice: ContentSlice | undefined = whole(maker.seal(Buffer.from("no tree"), "tree"));
    for (let level = 0; level < levelsCount; level++) slice = wideIndex(maker, filler, level, slice);
    return { slice };
  };
  const levelsCount = Math.ceil(limits.commitWaitingCount / wideCount);
  const [fitting, tooMuch] = [make(levelsCount - 1), make(levelsCount)];
  await store.put(agent, maker.primes);
  await assert.rejects(verifyClosure(keeping(store), agent, fitting), /CBOR, byte/);
  await assert.rejects(verifyClosure(keeping(store), agent, tooMuch), /that wait/);
});

test("garbage, nesting bombs and wrong keys are an invalid tree, not a failure of the site", async () => {
  const maker = new TreeMaker();
  const store = createMemoryStore();
  const bomb = Buffer.concat([Buffer.alloc(200_000, 0x81), Buffer.of(0x01)]);
  const garbage = whole(maker.seal(randomBytes(500), "tree"));
  const content = whole(maker.seal(randomBytes(500), "content"));
  const wrongKey = { ...garbage, prime: { ...garbage.prime, key: randomBytes(32) } };
  const tooDeep = maker.inline([
    { ...maker.file("f"), content: { pages: [garbage], depth: 9 } } as ReturnType<TreeMaker["file"]>,
  ]);
  await store.put(agent, maker.primes);
  const roots: NodePointer[] = [
    { inline: bomb },
    { inline: Buffer.alloc(0) },
    { slice: garbage },
    { slice: content },
    { slice: wrongKey },
    tooDeep,
  ];
  for (const root of roots)
    await assert.rejects(
      verifyClosure(keeping(store), agent, root),
      (error) => error instanceof CostorError && error.code === "tree-invalid",
    );
});

test.run();
