/**
 * Goal: a directory of any width becomes a node that reads back in order, with the right totals; what did not change is
 * neither decoded, sealed nor sent again; what changed moves only the pages near it.
 */
import assert from "node:assert/strict";
import { rootKey, type DirectoryRecord } from "#agent/backup/agent-database.ts";
import { DirectoryFrame, type FrameEntry, type FrameResult, RecordCursor } from "#agent/backup/directory-frame.ts";
import { RecordPage } from "#agent/backup/directory-record.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { testScope } from "./backup-fixture.ts";
import { KeptTrees, emptyFile } from "./tree-fixture.ts";

const test = suite("directory frame", { timeoutMs: 120_000 });

const signature = Buffer.alloc(32, 3);
const wideCount = count(20_000, 200_000);
const wideNames = Array.from({ length: wideCount }, (_, index) => `entry-${String(index).padStart(8, "0")}`);

function frameOf(record?: DirectoryRecord, parent?: DirectoryFrame, name?: string): DirectoryFrame {
  const key = rootKey("/d" as ByteString);
  return new DirectoryFrame({ parent, name: name as ByteString, key, record, onDone: () => undefined });
}

const entry = (object: TreeObject): FrameEntry => ({ name: object.name, object, signature });

/** The record that a frame's result becomes. */
function recordOf({ pages, node, totals, inlinedLevelsCount, pageSlices }: FrameResult): DirectoryRecord {
  const read = pages!.map((page) => new RecordPage(page));
  return {
    head: { pagesCount: read.length, node, totals, inlinedLevelsCount, pageSlices },
    page: (index) => read[index]!,
  };
}

async function namesOf(kept: KeptTrees, node: NodePointer): Promise<string[]> {
  const names: string[] = [];
  for await (const object of (await kept.reader()).objects(node)) names.push(object.name);
  return names;
}

/** A directory of these names, finished. */
function finished(kept: KeptTrees, names: readonly string[]): FrameResult {
  const frame = frameOf();
  for (const name of names) {
    frame.addEntry(entry(emptyFile(name, 5)));
    frame.emitAhead(testScope, kept.trees);
  }
  return frame.finish(testScope, kept.trees);
}

test("a small directory is inlined, with its totals, and an empty one too", async () => {
  const kept = new KeptTrees();
  const result = finished(kept, ["a", "b", "c"]);
  assert.ok("inline" in result.node && result.pages && result.isFirstLeaf);
  assert.deepEqual(result.totals, { objectsCount: 3, filesCount: 3, bytes: 15 });
  assert.deepEqual(await namesOf(kept, result.node), ["a", "b", "c"]);
  const empty = finished(kept, []);
  assert.deepEqual([await namesOf(kept, empty.node), empty.pages!.length], [[], 1]);
  assert.equal(kept.uploads.primes.size, 0);
});

test("what was removed or could not be read is left out; what is incomplete is waited for", async () => {
  const kept = new KeptTrees();
  const frame = frameOf();
  const pending: FrameEntry = { name: "b" as ByteString, object: undefined, signature };
  frame.addEntry(entry(emptyFile("a")));
  frame.addEntry(pending);
  frame.addEntry({ name: "c" as ByteString, object: "removed", signature });
  frame.addEntry(entry(emptyFile("d")));
  frame.emitAhead(testScope, kept.trees);
  pending.object = emptyFile("b", 7);
  const result = frame.finish(testScope, kept.trees);
  assert.deepEqual(await namesOf(kept, result.node), ["a", "b", "d"]);
  assert.deepEqual(result.totals, { objectsCount: 3, filesCount: 3, bytes: 7 });
});

test("a wide directory becomes pages under an index, in order, each within the limits", async () => {
  const kept = new KeptTrees();
  const result = finished(kept, wideNames);
  const { pages, pageSlices, totals } = result;
  assert.ok(pages!.length > 2 && pageSlices.length === pages!.length);
  assert.deepEqual(totals, { objectsCount: wideCount, filesCount: wideCount, bytes: wideCount * 5 });
  for (const page of pages!) assert.ok(new RecordPage(page).leaf.length <= limits.treePageBytes);
  assert.deepEqual(await namesOf(kept, result.node), wideNames);
  const reader = await kept.reader();
  for (const name of [wideNames[0]!, wideNames[wideCount - 1]!, wideNames[wideCount >> 1]!])
    assert.equal((await reader.child(result.node, name as ByteString))?.name, name);
  assert.equal(await reader.child(result.node, "entry-x" as ByteString), undefined);
});

test("pages are cut at the same names whatever came before, and on any machine", async () => {
  const kept = new KeptTrees();
  const whole = finished(kept, wideNames);
  const sentCount = kept.uploader.added;
  const without = finished(
    kept,
    wideNames.filter((_, index) => index !== 10),
  );
  const ids = (result: FrameResult): string[] => result.pageSlices.map((slice) => slice.prime.id);
  const common = ids(whole).filter((id) => ids(without).includes(id));
  assert.ok(common.length >= ids(whole).length - 2, `${common.length} of ${ids(whole).length} pages are the same`);
  assert.ok(kept.uploader.added > sentCount);
});

test("an unchanged directory gives the record's node, and nothing is sealed", () => {
  const kept = new KeptTrees();
  const record = recordOf(finished(kept, wideNames));
  const sentCount = kept.uploader.added;
  const frame = frameOf(record);
  for (let index = 0; index < wideCount; index++) frame.addUnchanged(index);
  const result = frame.finish(testScope, kept.trees);
  assert.equal(result.pages, undefined);
  assert.deepEqual([result.node, result.totals, result.pages], [record.head.node, record.head.totals, undefined]);
  assert.equal(kept.uploader.added, sentCount);
});

test("one new entry in a wide directory has its page sent, and the index, not the others", async () => {
  const kept = new KeptTrees();
  const record = recordOf(finished(kept, wideNames));
  const sentCount = kept.uploader.added;
  const frame = frameOf(record);
  const at = wideCount >> 1;
  for (let index = 0; index < wideCount; index++) {
    frame.addUnchanged(index);
    if (index === at) frame.addEntry(entry(emptyFile(`${wideNames[at]!}-new`, 100)));
    frame.emitAhead(testScope, kept.trees);
  }
  const result = frame.finish(testScope, kept.trees);
  assert.deepEqual(await namesOf(kept, result.node), wideNames.toSpliced(at + 1, 0, `${wideNames[at]!}-new`));
  assert.deepEqual(result.totals, {
    objectsCount: wideCount + 1,
    filesCount: wideCount + 1,
    bytes: wideCount * 5 + 100,
  });
  assert.ok(kept.uploader.added - sentCount <= 3, `${kept.uploader.added - sentCount} primes were sent`);
  // The new record serves like the first.
  const again = frameOf(recordOf(result));
  for (let index = 0; index <= wideCount; index++) again.addUnchanged(index);
  assert.deepEqual(again.finish(testScope, kept.trees).node, result.node);
});

test("an entry that was read again and is the same has nothing sent, also where the directory has a page of its own", async () => {
  const kept = new KeptTrees();
  const names = wideNames.slice(0, 1200);
  const record = recordOf(finished(kept, names));
  assert.ok("slice" in record.head.node && record.head.pagesCount === 1);
  const sentCount = kept.uploader.added;
  const frame = frameOf(record);
  for (const [index, name] of names.entries()) {
    if (index === 700) frame.addEntry(entry(emptyFile(name, 5)));
    else frame.addUnchanged(index);
  }
  const result = frame.finish(testScope, kept.trees);
  assert.deepEqual(result.node, record.head.node);
  assert.equal(kept.uploader.added, sentCount);
});

test("a subdirectory's new node replaces its old one in the slot it had; its totals count once", async () => {
  const kept = new KeptTrees();
  const directory = (node: NodePointer): TreeObject =>
    ({
      ...emptyFile("sub"),
      ...{ type: "directory", node, sizeBytes: undefined, content: undefined },
    }) as TreeObject;
  const [old, fresh] = [finished(kept, ["x"]), finished(kept, ["x", "y"])];
  const first = frameOf();
  first.addEntry(entry(emptyFile("a", 1)));
  first.addEntry(entry(directory(old.node)));
  first.addChild(old);
  const record = recordOf(first.finish(testScope, kept.trees));
  assert.deepEqual(record.head.totals, { objectsCount: 3, filesCount: 2, bytes: 6 });
  const frame = frameOf(record);
  frame.addUnchanged(0);
  const slot = frame.addUnchanged(1);
  frame.addChild(fresh);
  frame.replace(slot, entry(directory(fresh.node)));
  const result = frame.finish(testScope, kept.trees);
  assert.deepEqual(result.totals, { objectsCount: 4, filesCount: 3, bytes: 11 });
  const sub = await (await kept.reader()).child(result.node, "sub" as ByteString);
  assert.ok(sub?.type === "directory");
  assert.deepEqual(await namesOf(kept, sub.node), ["x", "y"]);
});

test("a cursor finds entries across pages, forwards and back", () => {
  const kept = new KeptTrees();
  const cursor = new RecordCursor(recordOf(finished(kept, wideNames)));
  const nameAt = (index: number): string | undefined => {
    const found = cursor.at(index);
    return found && found.page.names[found.place];
  };
  for (const index of [0, 1, wideCount - 1, 5, wideCount >> 1]) assert.equal(nameAt(index), wideNames[index]);
  assert.equal(cursor.at(wideCount), undefined);
});

test("paths are told from the root down", () => {
  const slash = frameOf();
  const home = frameOf(undefined, slash, "home");
  const ann = frameOf(undefined, home, "ann");
  assert.deepEqual(
    [slash, home, ann].map((frame) => frame.pathOf("x" as ByteString)),
    ["/x", "/home/x", "/home/ann/x"],
  );
});

test.run();
