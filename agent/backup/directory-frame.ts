/**
 * A directory under way: what its entries became, until all are known and it can be encoded.
 *
 * Entries arrive in byte order of names. An unchanged one is only a number, its place in the directory's record of the last
 * snapshot; nothing is decoded or encoded while nothing changed. Pages of a wide directory are encoded and sealed as soon
 * as their entries are complete, so that it never is in memory whole.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { Scope } from "#protocol/scope.ts";
import { endsPage } from "#protocol/tree-building.ts";
import {
  type ContentSlice,
  type DirectoryPage,
  type NodePointer,
  type TreeObject,
  objectWeightBytes,
} from "#protocol/tree.ts";
import { type BundleChanges, noteBundle } from "./bundle-use.ts";
import type { DirectoryKey, DirectoryRecord } from "./agent-database.ts";
import { type RecordEntry, type RecordPage, type SubtreeTotals, encodePage } from "./directory-record.ts";
import type { TreeSealer } from "./tree-sealer.ts";

/** Complete entries that may wait before pages are encoded ahead of the directory's end. */
const WAITING_ENTRIES_COUNT = 4096;

/** An entry that is new, changed or not yet complete. */
export interface FrameEntry {
  readonly name: ByteString;
  /** Undefined while it is being read; `removed` when it does not become part of the snapshot. */
  object: TreeObject | "removed" | undefined;
  signature: Uint8Array;
}

export interface FrameResult {
  readonly node: NodePointer;
  readonly totals: SubtreeTotals;
  /** Levels of directories that are inlined in the node, one in the other. */
  readonly inlinedLevelsCount: number;
  /** The record's pages, when it has to be written: when anything in it, at any depth, differs from the record. */
  readonly pages?: readonly Buffer[];
  /** Whether the node is the leaf of the first page. */
  readonly isFirstLeaf?: boolean;
  /** Where the pages of a wide directory are in the tree. */
  readonly pageSlices: readonly ContentSlice[];
  /** What its own files, compared with the record, hold more or less of bundles. */
  readonly bundles?: BundleChanges;
}

/** Reads a record's entries in order. */
export class RecordCursor {
  private readonly record: DirectoryRecord;
  private page: RecordPage;
  private pageIndex = 0;
  /** The place of the page's first entry in the directory. */
  private start = 0;

  constructor(record: DirectoryRecord) {
    this.record = record;
    this.page = record.page(0);
  }

  /** The page and the place in it of entry `index`; undefined behind the end. Cheap for ascending indexes. */
  at(index: number): { page: RecordPage; place: number } | undefined {
    if (index < this.start) {
      this.pageIndex = 0;
      this.start = 0;
      this.page = this.record.page(0);
    }
    while (index >= this.start + this.page.count) {
      if (this.pageIndex + 1 >= this.record.head.pagesCount) return undefined;
      this.start += this.page.count;
      this.page = this.record.page(++this.pageIndex);
    }
    return { page: this.page, place: index - this.start };
  }
}

/** Finds pages that are as the record has them, so that they are neither sealed nor sent again. */
class FormerPages {
  private readonly record: DirectoryRecord;
  private next = 0;

  constructor(record: DirectoryRecord) {
    this.record = record;
  }

  /** Where the tree has the page that starts with `firstName` and is `leaf`. To be asked in order of names. */
  find(firstName: ByteString, leaf: Buffer): ContentSlice | undefined {
    const { pagesCount, pageSlices, node } = this.record.head;
    for (; this.next < pagesCount; this.next++) {
      const page = this.record.page(this.next);
      const [first] = page.names;
      if (first !== undefined && first < firstName) continue;
      if (first !== firstName || !page.leaf.equals(leaf)) return undefined;
      return pageSlices[this.next] ?? ("slice" in node ? node.slice : undefined);
    }
    return undefined;
  }
}

export class DirectoryFrame {
  readonly parent: DirectoryFrame | undefined;
  /** Absent for `/`. */
  readonly name: ByteString | undefined;
  readonly key: DirectoryKey | undefined;
  readonly record: DirectoryRecord | undefined;
  /** Called once with the directory's node. */
  readonly onDone: (result: FrameResult) => void;
  /** Entries and subdirectories that are not complete. */
  pendingCount = 0;
  scanned = false;
  private changed = false;
  private readonly slots: (number | FrameEntry)[] = [];
  private emitted = 0;
  private readonly emitCursor: RecordCursor | undefined;
  private readonly formerPages: FormerPages | undefined;
  private pageEntries: RecordEntry[] = [];
  private pageBytes = 0;
  private readonly pages: Buffer[] = [];
  private readonly sealedPages: DirectoryPage[] = [];
  private inlinedLevelsCount = 0;
  private readonly bundles: BundleChanges = new Map();
  /** The record's first entry that is neither kept nor known to be gone. */
  private nextKept = 0;
  private own: SubtreeTotals = { objectsCount: 0, filesCount: 0, bytes: 0 };

  constructor(init: {
    parent: DirectoryFrame | undefined;
    name: ByteString | undefined;
    key: DirectoryKey | undefined;
    record: DirectoryRecord | undefined;
    onDone: (result: FrameResult) => void;
  }) {
    this.parent = init.parent;
    this.name = init.name;
    this.key = init.key;
    this.record = init.record;
    this.onDone = init.onDone;
    this.emitCursor = init.record && new RecordCursor(init.record);
    this.formerPages = init.record && new FormerPages(init.record);
    if (!init.record) this.changed = true;
  }

  /** Something differs from the record: an entry is new, changed, gone, or a subdirectory changed. */
  markChanged(): void {
    this.changed = true;
  }

  /** Adds an unchanged entry; gives its slot, which {@link replace} may change until the directory is complete. */
  addUnchanged(recordIndex: number): number {
    return this.slots.push(recordIndex) - 1;
  }

  addEntry(entry: FrameEntry): void {
    this.changed = true;
    this.slots.push(entry);
  }

  replace(slot: number, entry: FrameEntry): void {
    this.changed = true;
    this.slots[slot] = entry;
  }

  /** A subdirectory is complete. */
  addChild({ node, totals, inlinedLevelsCount }: FrameResult): void {
    this.addTotals(totals);
    if ("inline" in node) this.inlinedLevelsCount = Math.max(this.inlinedLevelsCount, inlinedLevelsCount + 1);
  }

  private addTotals(totals: SubtreeTotals): void {
    const { objectsCount, filesCount, bytes } = this.own;
    this.own = {
      objectsCount: objectsCount + totals.objectsCount,
      filesCount: filesCount + totals.filesCount,
      bytes: bytes + totals.bytes,
    };
  }

  /** Encodes ahead what is complete, when much waits. Never past a subdirectory that is still open. */
  emitAhead(scope: Scope, trees: TreeSealer): void {
    if (!this.changed || this.pendingDirectories > 0 || this.slots.length - this.emitted < WAITING_ENTRIES_COUNT)
      return;
    this.emitComplete(scope, trees);
  }

  /** Subdirectories that are open; their slots may still be replaced. */
  pendingDirectories = 0;

  private emitComplete(scope: Scope, trees: TreeSealer): void {
    for (; this.emitted < this.slots.length; this.emitted++) {
      const slot = this.slots[this.emitted]!;
      if (typeof slot === "number") {
        this.dropUpTo(slot);
        this.nextKept = slot + 1;
        const { page, place } = this.emitCursor!.at(slot)!;
        this.append({ object: page.object(place), signature: page.signature(place) }, scope, trees);
        continue;
      }
      if (slot.object === undefined) return;
      if (slot.object !== "removed") {
        noteBundle(this.bundles, slot.object, 1);
        this.append({ object: slot.object, signature: slot.signature }, scope, trees);
      }
      this.slots[this.emitted] = 0;
    }
  }

  /** The record's entries before `index` that were not kept hold their bundles no longer. */
  private dropUpTo(index: number): void {
    for (; this.nextKept < index; this.nextKept++) {
      const dropped = this.emitCursor?.at(this.nextKept);
      if (!dropped) return;
      noteBundle(this.bundles, dropped.page.object(dropped.place), -1);
    }
  }

  private append(entry: RecordEntry, scope: Scope, trees: TreeSealer): void {
    const { object } = entry;
    this.pageEntries.push(entry);
    this.pageBytes += objectWeightBytes(object);
    if (object.type !== "directory")
      this.addTotals({
        objectsCount: 1,
        filesCount: object.type === "file" ? 1 : 0,
        bytes: object.type === "file" ? object.sizeBytes : 0,
      });
    else this.addTotals({ objectsCount: 1, filesCount: 0, bytes: 0 });
    if (endsPage(scope, object.name, this.pageBytes)) this.endPage(trees);
  }

  private endPage(trees: TreeSealer): Buffer {
    const { page, leaf } = encodePage(this.pageEntries);
    const first = this.pageEntries[0];
    if (first) {
      const firstName = first.object.name;
      this.sealedPages.push({ firstName, slice: this.formerPages?.find(firstName, leaf) ?? trees.sealPage(leaf) });
    }
    this.pages.push(page);
    this.pageEntries = [];
    this.pageBytes = 0;
    return leaf;
  }

  /** The directory's node, once nothing is pending. */
  finish(scope: Scope, trees: TreeSealer): FrameResult {
    if (!this.changed) {
      return this.record!.head;
    }
    this.emitComplete(scope, trees);
    this.dropUpTo(Number.POSITIVE_INFINITY);
    let node: NodePointer;
    if (this.pages.length === 0) {
      const [first] = this.pageEntries;
      const { page, leaf } = encodePage(this.pageEntries);
      this.pages.push(page);
      const former = first && this.formerPages?.find(first.object.name, leaf);
      node = former ? { slice: former } : trees.sealNode(leaf, this.inlinedLevelsCount);
    } else {
      if (this.pageEntries.length > 0) this.endPage(trees);
      node = trees.sealIndex(this.sealedPages);
    }
    const { own: totals, pages, inlinedLevelsCount } = this;
    const pageSlices = this.sealedPages.map(({ slice }) => slice);
    const isFirstLeaf = pageSlices.length === 0;
    return { node, totals, inlinedLevelsCount, pages, isFirstLeaf, pageSlices, bundles: this.bundles };
  }

  /** The absolute path of `name` in it. */
  pathOf(name: ByteString): ByteString {
    const names: ByteString[] = this.name === undefined ? [name] : [name, this.name];
    for (let above = this.parent; above?.name !== undefined; above = above.parent) names.push(above.name);
    return `/${names.reverse().join("/")}` as ByteString;
  }
}
