/**
 * What the agent's database keeps of a directory: the change signature of each entry, and the tree pages as they were
 * encoded. An unchanged entry costs a comparison of 32 bytes, and a page is decoded only when something in it changed.
 *
 * Page: count u32 ‖ count × (signature 32 ‖ name length u16) ‖ names end to end ‖ leaf (protocol/tree.ts).
 */
import { crc32 } from "node:zlib";
import type { ByteString } from "#protocol/byte-string.ts";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type ContentSlice, type NodePointer, type TreeObject, encodeLeaf } from "#protocol/tree.ts";
import { decodeNode } from "#protocol/tree-decoding.ts";
import { decodeSlice, encodeSlice } from "./content-slices.ts";

export const SIGNATURE_BYTES = 32;
const ENTRY_HEAD_BYTES = SIGNATURE_BYTES + 2;

export interface RecordEntry {
  readonly object: TreeObject;
  /** Zeros for an entry that has to be read again next time. */
  readonly signature: Uint8Array;
}

/** One page, read lazily. */
export class RecordPage {
  private readonly bytes: Buffer;
  readonly count: number;
  private readonly leafAt: number;
  private decoded: TreeObject[] | undefined;
  readonly names: ByteString[] = [];

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.count = bytes.readUInt32LE(0);
    let at = 4 + this.count * ENTRY_HEAD_BYTES;
    for (let i = 0; i < this.count; i++) {
      const length = bytes.readUInt16LE(4 + i * ENTRY_HEAD_BYTES + SIGNATURE_BYTES);
      this.names.push(bytes.toString("latin1", at, at + length) as ByteString);
      at += length;
    }
    this.leafAt = at;
  }

  isEqual(page: Buffer): boolean {
    return this.bytes.equals(page);
  }

  get leaf(): Buffer {
    return this.bytes.subarray(this.leafAt);
  }

  matches(index: number, signature: Buffer): boolean {
    const at = 4 + index * ENTRY_HEAD_BYTES;
    return this.bytes.compare(signature, 0, SIGNATURE_BYTES, at, at + SIGNATURE_BYTES) === 0;
  }

  signature(index: number): Buffer {
    const at = 4 + index * ENTRY_HEAD_BYTES;
    return this.bytes.subarray(at, at + SIGNATURE_BYTES);
  }

  object(index: number): TreeObject {
    if (!this.decoded) {
      const node = decodeNode(this.leaf);
      if (!("objects" in node))
        throw new CostorError("bad-encoding", "the agent's database holds a page that is no leaf");
      this.decoded = node.objects;
    }
    return this.decoded[index]!;
  }
}

/** Encodes a page; its leaf is what goes into the tree. */
export function encodePage(entries: readonly RecordEntry[]): { page: Buffer; leaf: Buffer } {
  const leaf = encodeLeaf(entries.map((entry) => entry.object));
  const namesBytes = entries.reduce((sum, entry) => sum + entry.object.name.length, 0);
  const leafAt = 4 + entries.length * ENTRY_HEAD_BYTES + namesBytes;
  const page = Buffer.allocUnsafe(leafAt + leaf.length);
  page.writeUInt32LE(entries.length, 0);
  let at = 4;
  for (const entry of entries) {
    page.set(entry.signature, at);
    page.writeUInt16LE(entry.object.name.length, at + SIGNATURE_BYTES);
    at += ENTRY_HEAD_BYTES;
  }
  for (const entry of entries) at += page.write(entry.object.name, at, "latin1");
  leaf.copy(page, leafAt);
  return { page, leaf };
}

/** The head of a directory's record: where its tree is, what lies below it, and which pages follow the first one. */
export interface RecordHead {
  /** By what numbers the database has the pages behind the first one, in their order. A changed page gets an unused number. */
  readonly pageNumbers: readonly number[];
  /** {@link addToCheck} over these pages: what tells that all of them are of this record. */
  readonly pagesCheck: number;
  readonly node: NodePointer;
  /** Everything below the directory. */
  readonly totals: SubtreeTotals;
  /** Levels of directories that are inlined in the node, one in the other. */
  readonly inlinedLevelsCount: number;
  /** Where the pages of a wide directory are in the tree, in order; none for a single page, whose place is the node's. */
  readonly pageSlices: readonly ContentSlice[];
}

export interface SubtreeTotals {
  readonly objectsCount: number;
  readonly filesCount: number;
  readonly bytes: number;
}

/** CRC-32 over pages, one after the other; 0 for none. */
export const addToCheck = (check: number, page: Uint8Array): number => crc32(page, check);

/** The head. A node that is the leaf of the only page is not kept twice. */
export function encodeHead(head: RecordHead): Buffer {
  const { node, totals, pageSlices } = head;
  const isFirstLeaf = pageSlices.length === 0;
  const kept = "inline" in node ? (isFirstLeaf ? null : node.inline) : encodeSlice(node.slice);
  const isSlice = "slice" in node;
  const counts = [totals.objectsCount, totals.filesCount, totals.bytes];
  const pages = [[...head.pageNumbers], head.pagesCheck, pageSlices.map(encodeSlice)];
  return encodeCbor([pages, counts, head.inlinedLevelsCount, isSlice, kept]);
}

export function decodeHead(bytes: Uint8Array, firstPage: RecordPage): RecordHead {
  type Fields = [[number[], number, Buffer[]], [number, number, number], number, boolean, Buffer | null];
  const [pages, totals, inlinedLevelsCount, isSlice, kept] = decodeCbor(bytes) as Fields;
  const [pageNumbers, pagesCheck, slices] = pages;
  const [objectsCount, filesCount, held] = totals;
  const node: NodePointer = isSlice ? { slice: decodeSlice(kept!) } : { inline: kept ?? firstPage.leaf };
  const pageSlices = slices.map(decodeSlice);
  const below = { objectsCount, filesCount, bytes: held };
  return { pageNumbers, pagesCheck, totals: below, inlinedLevelsCount, node, pageSlices };
}
