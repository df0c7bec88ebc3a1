/**
 * Cuts a directory's entries into pages, each of which is sealed and handed over as it ends.
 *
 * Invariant: in memory are the first page, which the record's head holds, and the entries of the page that is being filled;
 * of each other page its number, its first name and where the tree has it.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { Scope } from "#protocol/scope.ts";
import { endsPage } from "#protocol/tree-building.ts";
import { type ContentSlice, type DirectoryPage, type NodePointer, objectWeightBytes } from "#protocol/tree.ts";
import type { DirectoryRecord } from "./agent-database.ts";
import { type RecordEntry, type RecordHead, type RecordPage, addToCheck, encodePage } from "./directory-record.ts";
import type { TreeSealer } from "./tree-sealer.ts";

/** Takes a page of the new record that the record in force does not have, with its number. */
export type OnPage = (number: number, page: Buffer) => void;

export interface PagesResult extends Pick<RecordHead, "node" | "pageNumbers" | "pagesCheck" | "pageSlices"> {
  readonly firstPage: Buffer;
  /** Of the record in force, the pages that are not in this one. */
  readonly droppedPageNumbers: readonly number[];
}

interface FormerPage {
  readonly page: RecordPage;
  /** Undefined for the first page. */
  readonly number: number | undefined;
  readonly slice: ContentSlice | undefined;
}

/** Finds pages that are as the record has them, so that they are neither sealed, sent nor written again. */
class FormerPages {
  private readonly record: DirectoryRecord;
  private next = 0;

  constructor(record: DirectoryRecord) {
    this.record = record;
  }

  /** The record's page that starts with `firstName` and is `leaf`. To be asked in order of names. */
  find(firstName: ByteString, leaf: Buffer): FormerPage | undefined {
    const { pageNumbers, pageSlices, node } = this.record.head;
    for (; this.next < this.record.pagesCount; this.next++) {
      const page = this.record.page(this.next);
      const [first] = page.names;
      if (first !== undefined && first < firstName) continue;
      if (first !== firstName || !page.leaf.equals(leaf)) return undefined;
      const slice = pageSlices[this.next] ?? ("slice" in node ? node.slice : undefined);
      return { page, number: pageNumbers[this.next - 1], slice };
    }
    return undefined;
  }
}

export class DirectoryPages {
  private readonly scope: Scope;
  private readonly trees: TreeSealer;
  private readonly onPage: OnPage;
  private readonly formerPages: FormerPages | undefined;
  private readonly formerNumbers: ReadonlySet<number>;
  private entries: RecordEntry[] = [];
  private weightBytes = 0;
  private firstPage: Buffer | undefined;
  private readonly sealedPages: DirectoryPage[] = [];
  private readonly numbers: number[] = [];
  private lastUnused = 0;
  private check = 0;

  constructor(
    components: { scope: Scope; trees: TreeSealer },
    init: { record: DirectoryRecord | undefined; onPage: OnPage },
  ) {
    this.scope = components.scope;
    this.trees = components.trees;
    this.onPage = init.onPage;
    this.formerPages = init.record && new FormerPages(init.record);
    this.formerNumbers = new Set(init.record?.head.pageNumbers);
  }

  /** Adds the next entry, in byte order of names. */
  add(entry: RecordEntry): void {
    this.entries.push(entry);
    this.weightBytes += objectWeightBytes(entry.object);
    if (endsPage(this.scope, entry.object.name, this.weightBytes)) this.endPage();
  }

  private endPage(): void {
    const { page, leaf } = encodePage(this.entries);
    const firstName = this.entries[0]!.object.name;
    const former = this.formerPages?.find(firstName, leaf);
    this.sealedPages.push({ firstName, slice: former?.slice ?? this.trees.sealPage(leaf) });
    this.keep(page, former);
    this.entries = [];
    this.weightBytes = 0;
  }

  private keep(page: Buffer, former: FormerPage | undefined): void {
    if (!this.firstPage) {
      this.firstPage = page;
      return;
    }
    this.check = addToCheck(this.check, page);
    if (former?.number !== undefined && former.page.isEqual(page)) return void this.numbers.push(former.number);
    do this.lastUnused++;
    while (this.formerNumbers.has(this.lastUnused));
    this.numbers.push(this.lastUnused);
    this.onPage(this.lastUnused, page);
  }

  /** The directory's node, and what its record's head is made of. */
  finish(inlinedLevelsCount: number): PagesResult {
    let node: NodePointer;
    if (this.sealedPages.length === 0) {
      const [first] = this.entries;
      const { page, leaf } = encodePage(this.entries);
      this.firstPage = page;
      const slice = first && this.formerPages?.find(first.object.name, leaf)?.slice;
      node = slice ? { slice } : this.trees.sealNode(leaf, inlinedLevelsCount);
    } else {
      if (this.entries.length > 0) this.endPage();
      node = this.trees.sealIndex(this.sealedPages);
    }
    const kept = new Set(this.numbers);
    return {
      node,
      firstPage: this.firstPage!,
      pageNumbers: this.numbers,
      pagesCheck: this.check,
      pageSlices: this.sealedPages.map(({ slice }) => slice),
      droppedPageNumbers: [...this.formerNumbers].filter((number) => !kept.has(number)),
    };
  }
}
