/**
 * Goal: a directory of any width becomes a node that reads back in order, with the right totals; what did not change is
 * neither decoded, sealed nor sent again; what changed moves only the pages near it.
 */
import assert from "node:assert/strict";
import { rootKey, type DirectoryRecord } from "#agent/backup/agent-database.ts";
import { DirectoryFrame, type FrameResult, RecordCursor } from "#agent/backup/directory-frame.ts";
import { type RecordEntry, RecordPage, encodePage } from "#agent/backup/directory-record.ts";
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

const entry = (object: TreeObject): RecordEntry => ({ object, signature });

/** Where a directory's frames send primes and write pages. */
class Surroundings extends KeptTrees {
  readonly waiting = { bytes: 0 };
  /** By number, those of all records. */
  readonly pages = new Map<number, Buffer>();
  /** How often a page was written. */
  writtenCount = 0;

  frame(record?: DirectoryRecord, parent?: DirectoryFrame, name?: string): DirectoryFrame {
    const key = rootKey("/d" as ByteString);
    const onPage = (number: number, page: Buffer): void => {
      assert.ok(!record?.head.pageNumbers.includes(number), "the record in force stays whole");
      this.writtenCount++;
      this.pages.set(number, page);
    };
    const init = { parent, name: name as ByteString, key, record, onDone: () => undefined, onPage };
    return new DirectoryFrame({ scope: testScope, trees: this.trees, waiting: this.waiting }, init);
  }

  /** The pages of the record that a frame's result becomes. */
  pagesOf({ written }: FrameResult): RecordPage[] {
    const bytes = [written!.firstPage, ...written!.pageNumbers.map((number) => this.pages.get(number)!)];
    return bytes.map((page) => new RecordPage(page));
  }

  recordOf(result: FrameResult): DirectoryRecord {
    const pages = this.pagesOf(result);
    const { pageNumbers, pagesCheck, pageSlices } = result.written!;
    const { node, totals, inlinedLevelsCount } = result;
    const head = { pageNumbers, pagesCheck, pageSlices, node, totals, inlinedLevelsCount };
    return { head, pagesCount: pages.length, page: (index) => pages[index]! };
  }
}

async function namesOf(kept: KeptTrees, node: NodePointer): Promise<string[]> {
  const names: string[] = [];
  for await (const object of (await kept.reader()).objects(node)) names.push(object.name);
  return names;
}

/** A directory of these names, finished. */
function finished(kept: Surroundings, names: readonly string[]): FrameResult {
  const frame = kept.frame();
  for (const name of names) frame.addEntry(entry(emptyFile(name, 5)));
  return frame.finish();
}

const directory = (node: NodePointer, name = "sub"): TreeObject =>
  ({
    ...emptyFile(name),
    ...{ type: "directory", node, sizeBytes: undefined, content: undefined },
  }) as TreeObject;

test("a small directory is inlined, with its totals, and an empty one too", async () => {
  const kept = new Surroundings();
  const result = finished(kept, ["a", "b", "c"]);
  assert.ok("inline" in result.node && result.written?.pageSlices.length === 0);
  assert.deepEqual(result.totals, { objectsCount: 3, filesCount: 3, bytes: 15 });
  assert.deepEqual(await namesOf(kept, result.node), ["a", "b", "c"]);
  const empty = finished(kept, []);
  assert.deepEqual([await namesOf(kept, empty.node), kept.pagesOf(empty).length], [[], 1]);
  assert.equal(kept.uploads.primes.size, 0);
});

test("what was removed or could not be read is left out; what is incomplete is waited for", async () => {
  const kept = new Surroundings();
  const frame = kept.frame();
  frame.addEntry(entry(emptyFile("a")));
  const [pending, failing] = [frame.addOpen(), frame.addOpen()];
  frame.addEntry(entry(emptyFile("d")));
  assert.equal(frame.pendingCount, 2);
  frame.complete(failing, "removed");
  frame.complete(pending, entry(emptyFile("b", 7)));
  assert.equal(frame.pendingCount, 0);
  const result = frame.finish();
  assert.deepEqual(await namesOf(kept, result.node), ["a", "b", "d"]);
  assert.deepEqual(result.totals, { objectsCount: 3, filesCount: 3, bytes: 7 });
});

test("a wide directory becomes pages under an index, in order, each within the limits", async () => {
  const kept = new Surroundings();
  const result = finished(kept, wideNames);
  const pages = kept.pagesOf(result);
  assert.ok(pages.length > 2 && result.written?.pageSlices.length === pages.length);
  assert.deepEqual(result.totals, { objectsCount: wideCount, filesCount: wideCount, bytes: wideCount * 5 });
  for (const page of pages) assert.ok(page.leaf.length <= limits.treePageBytes);
  assert.deepEqual(await namesOf(kept, result.node), wideNames);
  const reader = await kept.reader();
  for (const name of [wideNames[0]!, wideNames[wideCount - 1]!, wideNames[wideCount >> 1]!])
    assert.equal((await reader.child(result.node, name as ByteString))?.name, name);
  assert.equal(await reader.child(result.node, "entry-x" as ByteString), undefined);
});

test("pages are cut at the same names whatever came before, and on any machine", async () => {
  const kept = new Surroundings();
  const whole = finished(kept, wideNames);
  const sentCount = kept.uploader.added;
  const without = finished(
    kept,
    wideNames.filter((_, index) => index !== 10),
  );
  const ids = (result: FrameResult): string[] => result.written!.pageSlices.map((slice) => slice.prime.id);
  const common = ids(whole).filter((id) => ids(without).includes(id));
  assert.ok(common.length >= ids(whole).length - 2, `${common.length} of ${ids(whole).length} pages are the same`);
  assert.ok(kept.uploader.added > sentCount);
});

test("an unchanged directory gives the record's node, and nothing is sealed", () => {
  const kept = new Surroundings();
  const record = kept.recordOf(finished(kept, wideNames));
  const sentCount = kept.uploader.added;
  const frame = kept.frame(record);
  for (let index = 0; index < wideCount; index++) frame.addUnchanged(index);
  const result = frame.finish();
  assert.deepEqual([result.node, result.totals, result.written], [record.head.node, record.head.totals, undefined]);
  assert.equal(kept.uploader.added, sentCount);
});

test("one new entry in a wide directory has its page sent, and the index, not the others", async () => {
  const kept = new Surroundings();
  const record = kept.recordOf(finished(kept, wideNames));
  const { writtenCount } = kept;
  const sentCount = kept.uploader.added;
  const frame = kept.frame(record);
  const at = wideCount >> 1;
  for (let index = 0; index < wideCount; index++) {
    frame.addUnchanged(index);
    if (index === at) frame.addEntry(entry(emptyFile(`${wideNames[at]!}-new`, 100)));
  }
  const result = frame.finish();
  assert.deepEqual(await namesOf(kept, result.node), wideNames.toSpliced(at + 1, 0, `${wideNames[at]!}-new`));
  assert.deepEqual(result.totals, {
    objectsCount: wideCount + 1,
    filesCount: wideCount + 1,
    bytes: wideCount * 5 + 100,
  });
  assert.ok(kept.uploader.added - sentCount <= 3, `${kept.uploader.added - sentCount} primes were sent`);
  const { pageNumbers, droppedPageNumbers } = result.written!;
  assert.ok(kept.writtenCount - writtenCount <= 2, `${kept.writtenCount - writtenCount} pages were written`);
  assert.ok(droppedPageNumbers.length <= 2 && !droppedPageNumbers.some((number) => pageNumbers.includes(number)));
  // The new record serves like the first.
  const again = kept.frame(kept.recordOf(result));
  for (let index = 0; index <= wideCount; index++) again.addUnchanged(index);
  assert.deepEqual(again.finish().node, result.node);
});

test("an entry that was read again and is the same has nothing sent, also where the directory has a page of its own", async () => {
  const kept = new Surroundings();
  const names = wideNames.slice(0, 1200);
  const record = kept.recordOf(finished(kept, names));
  assert.ok("slice" in record.head.node && record.pagesCount === 1);
  const sentCount = kept.uploader.added;
  const frame = kept.frame(record);
  for (const [index, name] of names.entries()) {
    if (index === 700) frame.addEntry(entry(emptyFile(name, 5)));
    else frame.addUnchanged(index);
  }
  const result = frame.finish();
  assert.deepEqual(result.node, record.head.node);
  assert.equal(kept.uploader.added, sentCount);
});

test("a subdirectory's new node replaces its old one in the slot it had; its totals count once", async () => {
  const kept = new Surroundings();
  const [old, fresh] = [finished(kept, ["x"]), finished(kept, ["x", "y"])];
  const first = kept.frame();
  first.addEntry(entry(emptyFile("a", 1)));
  first.addEntry(entry(directory(old.node)));
  first.addChild(old);
  const record = kept.recordOf(first.finish());
  assert.deepEqual(record.head.totals, { objectsCount: 3, filesCount: 2, bytes: 6 });
  const frame = kept.frame(record);
  frame.addUnchanged(0);
  const slot = frame.addOpen();
  frame.addChild(fresh);
  frame.complete(slot, entry(directory(fresh.node)));
  const result = frame.finish();
  assert.deepEqual(result.totals, { objectsCount: 4, filesCount: 3, bytes: 11 });
  const sub = await (await kept.reader()).child(result.node, "sub" as ByteString);
  assert.ok(sub?.type === "directory");
  assert.deepEqual(await namesOf(kept, sub.node), ["x", "y"]);
});

/**
 * Width of the directories below, each with a subtree of nearly 32 KiB that is inlined: a page has 16 of them. So many
 * pages are far more than may wait.
 */
const childrenCount = count(800, 8000);
const childNode = {
  inline: encodePage([
    entry({ ...emptyFile("x"), xattrs: [{ name: "user.x" as ByteString, value: Buffer.alloc(32_000, 1) }] }),
  ]).leaf,
};
const childNames = Array.from({ length: childrenCount }, (_, index) => `sub-${String(index).padStart(6, "0")}`);

/** A directory of subdirectories of which each is complete when so many behind it have been met. */
function finishedLate(kept: Surroundings, lateCount: number, onEach: (frame: DirectoryFrame) => void): FrameResult {
  const frame = kept.frame();
  const open: (() => void)[] = [];
  for (const name of childNames) {
    const slot = frame.addOpen();
    open.push(() => frame.complete(slot, entry(directory(childNode, name))));
    if (open.length > lateCount) open.shift()!();
    onEach(frame);
  }
  for (const complete of open) complete();
  return frame.finish();
}

test("however many subdirectories a directory has, only what lies behind an open one waits, and the pages are the same", () => {
  const kept = new Surroundings();
  let [mostEntries, mostBytes] = [0, 0];
  const lateCount = 20;
  const result = finishedLate(kept, lateCount, (frame) => {
    mostEntries = Math.max(mostEntries, frame.waitingCount);
    mostBytes = Math.max(mostBytes, kept.waiting.bytes);
  });
  assert.ok(mostEntries <= lateCount + 16, `${mostEntries} entries waited`);
  assert.ok(mostBytes < 512 * 1024, `entries of ${mostBytes} bytes waited`);
  assert.equal(kept.waiting.bytes, 0);
  // The same directory, of which nothing is complete before its end.
  const whole = new Surroundings();
  const late = finishedLate(whole, childrenCount, (frame) =>
    assert.equal(whole.pages.size, 0, `${frame.waitingCount}`),
  );
  assert.deepEqual([late.node, late.totals, late.written], [result.node, result.totals, result.written]);
  assert.deepEqual(whole.pages, kept.pages);
  assert.ok(kept.pages.size > childrenCount / 32);
});

test("pages are written while a directory is under way: before its end all but the first one and the last", () => {
  const kept = new Surroundings();
  let writtenCount = 0;
  const result = finishedLate(kept, 0, () => (writtenCount = kept.pages.size));
  assert.ok(writtenCount >= kept.pagesOf(result).length - 3, `${writtenCount} pages were written before the end`);
});

test("a cursor finds entries across pages, forwards and back", () => {
  const kept = new Surroundings();
  const cursor = new RecordCursor(kept.recordOf(finished(kept, wideNames)));
  const nameAt = (index: number): string | undefined => {
    const found = cursor.at(index);
    return found && found.page.names[found.place];
  };
  for (const index of [0, 1, wideCount - 1, 5, wideCount >> 1]) assert.equal(nameAt(index), wideNames[index]);
  assert.equal(cursor.at(wideCount), undefined);
});

test("paths are told from the root down", () => {
  const kept = new Surroundings();
  const slash = kept.frame();
  const home = kept.frame(undefined, slash, "home");
  const ann = kept.frame(undefined, home, "ann");
  assert.deepEqual(
    [slash, home, ann].map((frame) => frame.pathOf("x" as ByteString)),
    ["/x", "/home/x", "/home/ann/x"],
  );
});

test.run();
