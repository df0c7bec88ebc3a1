/**
 * A directory under way: what its entries became, until all are known and it can be encoded.
 *
 * Entries arrive in byte order of names. An unchanged one is only a number, its place in the directory's record of the last
 * snapshot; nothing is decoded or encoded while nothing changed.
 *
 * Invariant: however wide a directory is, little of it waits. Once it has changed, what comes before its first open slot
 * goes into pages as soon as there is enough of it, and a page that ended is not kept (directory-pages.ts). What waits
 * behind an open slot is counted in {@link WaitingEntries}, for the scan to wait.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { Scope } from "#protocol/scope.ts";
import { type TreeObject, objectWeightBytes } from "#protocol/tree.ts";
import type { DirectoryKey, DirectoryRecord } from "./agent-database.ts";
import { type BundleChanges, noteBundle } from "./bundle-use.ts";
import { DirectoryPages, type OnPage, type PagesResult } from "./directory-pages.ts";
import type { RecordEntry, RecordHead, RecordPage, SubtreeTotals } from "./directory-record.ts";
import type { TreeSealer } from "./tree-sealer.ts";

/** Slots or bytes of entries that wait before they go into pages: one that never has so many stays numbers. */
const EMIT_SLOTS_COUNT = 4096;
const EMIT_BYTES = 256 * 1024;
/** What an entry takes in memory, beside its weight in a page. */
const ENTRY_BYTES = 512;

/** Of complete entries in all directories under way, about the bytes that they take in memory. */
export interface WaitingEntries {
  bytes: number;
}

/** What an entry that was not complete has become; a number is that of the record's entry, as it was. */
export type Completion = RecordEntry | "removed" | number;

/** The place of an entry that is not complete. */
export class OpenSlot {
  completion: Completion | undefined;
}

export interface FrameResult extends Pick<RecordHead, "node" | "totals" | "inlinedLevelsCount"> {
  /** What has to be written of the record: when anything in it, at any depth, differs from the record in force. */
  readonly written?: PagesResult & { readonly bundles: BundleChanges };
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
      if (this.pageIndex + 1 >= this.record.pagesCount) return undefined;
      this.start += this.page.count;
      this.page = this.record.page(++this.pageIndex);
    }
    return { page: this.page, place: index - this.start };
  }
}

export class DirectoryFrame {
  private readonly components: { scope: Scope; trees: TreeSealer; waiting: WaitingEntries };
  readonly parent: DirectoryFrame | undefined;
  /** Absent for `/`. */
  readonly name: ByteString | undefined;
  readonly key: DirectoryKey | undefined;
  readonly record: DirectoryRecord | undefined;
  /** Called once with the directory's node. */
  readonly onDone: (result: FrameResult) => void;
  private readonly onPage: OnPage;
  /** Entries and subdirectories that are not complete. */
  pendingCount = 0;
  scanned = false;
  private changed = false;
  /** What is not in pages yet, behind the {@link emitted} that are and were not dropped yet. */
  private readonly slots: (number | RecordEntry | OpenSlot)[] = [];
  private emitted = 0;
  private waitingBytes = 0;
  private pages: DirectoryPages | undefined;
  private readonly emitCursor: RecordCursor | undefined;
  private inlinedLevelsCount = 0;
  /** What its own files, compared with the record, hold more or less of bundles. */
  private readonly bundles: BundleChanges = new Map();
  /** The record's first entry that is neither kept nor known to be gone. */
  private nextKept = 0;
  private own: SubtreeTotals = { objectsCount: 0, filesCount: 0, bytes: 0 };

  constructor(
    components: { scope: Scope; trees: TreeSealer; waiting: WaitingEntries },
    init: {
      parent: DirectoryFrame | undefined;
      name: ByteString | undefined;
      key: DirectoryKey | undefined;
      record: DirectoryRecord | undefined;
      onDone: (result: FrameResult) => void;
      onPage: OnPage;
    },
  ) {
    this.components = components;
    this.parent = init.parent;
    this.name = init.name;
    this.key = init.key;
    this.record = init.record;
    this.onDone = init.onDone;
    this.onPage = init.onPage;
    this.emitCursor = init.record && new RecordCursor(init.record);
    if (!init.record) this.changed = true;
  }

  /** Something differs from the record: an entry is new, changed, gone, or a subdirectory changed. */
  markChanged(): void {
    this.changed = true;
  }

  /** Entries that are not in pages yet. */
  get waitingCount(): number {
    return this.slots.length - this.emitted;
  }

  /** Adds the record's entry `index`, as it was. */
  addUnchanged(index: number): void {
    this.slots.push(index);
    this.emitAhead();
  }

  addEntry(entry: RecordEntry): void {
    this.changed = true;
    this.slots.push(entry);
    this.hold(entry, 1);
    this.emitAhead();
  }

  /** Adds an entry that is not complete; {@link complete} is to be called with its slot, once. */
  addOpen(): OpenSlot {
    const slot = new OpenSlot();
    this.slots.push(slot);
    this.pendingCount++;
    return slot;
  }

  complete(slot: OpenSlot, completion: Completion): void {
    slot.completion = completion;
    this.pendingCount--;
    if (typeof completion !== "number") this.changed = true;
    if (typeof completion === "object") this.hold(completion, 1);
    this.emitAhead();
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

  private hold({ object }: RecordEntry, sign: 1 | -1): void {
    const bytes = sign * (ENTRY_BYTES + objectWeightBytes(object));
    this.waitingBytes += bytes;
    this.components.waiting.bytes += bytes;
  }

  private emitAhead(): void {
    if (this.changed && (this.waitingCount >= EMIT_SLOTS_COUNT || this.waitingBytes >= EMIT_BYTES)) this.emit();
  }

  /** Puts into pages what comes before the first open slot. */
  private emit(): void {
    this.pages ??= new DirectoryPages(this.components, { record: this.record, onPage: this.onPage });
    for (; this.emitted < this.slots.length; this.emitted++) {
      const slot = this.slots[this.emitted]!;
      const entry = slot instanceof OpenSlot ? slot.completion : slot;
      if (entry === undefined) break;
      if (entry !== "removed") this.append(this.pages, entry);
      this.slots[this.emitted] = 0;
    }
    // Half at least is dropped: each slot is moved once on average.
    if (this.emitted * 2 < this.slots.length) return;
    this.slots.splice(0, this.emitted);
    this.emitted = 0;
  }

  private append(pages: DirectoryPages, entry: RecordEntry | number): void {
    let object: TreeObject;
    if (typeof entry === "number") {
      this.dropUpTo(entry);
      this.nextKept = entry + 1;
      const { page, place } = this.emitCursor!.at(entry)!;
      object = page.object(place);
      pages.add({ object, signature: page.signature(place) });
    } else {
      object = entry.object;
      noteBundle(this.bundles, object, 1);
      this.hold(entry, -1);
      pages.add(entry);
    }
    const file = object.type === "file" ? object : undefined;
    this.addTotals({ objectsCount: 1, filesCount: file ? 1 : 0, bytes: file?.sizeBytes ?? 0 });
  }

  /** The record's entries before `index` that were not kept hold their bundles no longer. */
  private dropUpTo(index: number): void {
    for (; this.nextKept < index; this.nextKept++) {
      const dropped = this.emitCursor?.at(this.nextKept);
      if (!dropped) return;
      noteBundle(this.bundles, dropped.page.object(dropped.place), -1);
    }
  }

  /** The directory's node, once nothing is pending. */
  finish(): FrameResult {
    if (!this.changed) return this.record!.head;
    this.emit();
    this.dropUpTo(Number.POSITIVE_INFINITY);
    const { own: totals, inlinedLevelsCount, bundles } = this;
    const pages = this.pages!.finish(inlinedLevelsCount);
    return { node: pages.node, totals, inlinedLevelsCount, written: { ...pages, bundles } };
  }

  /** The absolute path of `name` in it. */
  pathOf(name: ByteString): ByteString {
    const names: ByteString[] = this.name === undefined ? [name] : [name, this.name];
    for (let above = this.parent; above?.name !== undefined; above = above.parent) names.push(above.name);
    return `/${names.reverse().join("/")}` as ByteString;
  }
}
