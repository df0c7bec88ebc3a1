/**
 * Reads a snapshot's trees, wherever its primes come from. Holds a bounded number of opened tree primes; walks are pulled
 * and iterative, so that no depth or width overflows.
 */
import type { ByteString } from "./byte-string.ts";
import { type CostorError, type ErrorCode, isCostorError } from "./errors.ts";
import type { PrimeId } from "./ids.ts";
import { type PrimeReference, openPrime } from "./sealing.ts";
import { type Content, type ContentSlice, type NodePointer, type TreeObject, failTree } from "./tree.ts";
import { type TreeNode, decodeNode, decodeReferencePage } from "./tree-decoding.ts";

export interface TreeReaderComponents {
  /** The stored bytes of a prime; need not be verified. Throws `prime-missing`. */
  fetchPrime(id: PrimeId): Promise<Uint8Array>;
}

const CACHED_BYTES = 16 * 1024 * 1024;
/** An index over an index over pages is more than any real directory needs. */
const INDEX_DEPTH_COUNT = 8;

const damageCodes: readonly ErrorCode[] = [
  "prime-missing",
  "prime-corrupt",
  "prime-mismatch",
  "tree-invalid",
  "bad-encoding",
];

/** Whether a part of a tree, such as one directory, could not be read for what is stored: other parts still may. */
export const isTreeDamage = (error: unknown): error is CostorError =>
  isCostorError(error) && damageCodes.includes(error.code);

export class TreeReader {
  private readonly components: TreeReaderComponents;
  /** By id and key, the latest used last. */
  private readonly opened = new Map<string, { readonly plain: Promise<Buffer>; readonly lengthBytes: number }>();
  private openedBytes = 0;

  constructor(components: TreeReaderComponents) {
    this.components = components;
  }

  /** The plaintext of a tree prime. Throws `prime-missing`, `prime-corrupt`. */
  private async openTree(reference: PrimeReference): Promise<Buffer> {
    const { lengthBytes } = reference;
    const key = `${reference.id} ${lengthBytes} ${Buffer.from(reference.key).toString("base64")}`;
    const cached = this.opened.get(key);
    if (cached) {
      this.opened.delete(key);
      this.opened.set(key, cached);
      return cached.plain;
    }
    const plain = this.components.fetchPrime(reference.id).then((stored) => openPrime(stored, reference, "tree"));
    this.opened.set(key, { plain, lengthBytes });
    this.openedBytes += lengthBytes;
    plain.catch(() => this.forget(key));
    for (const oldest of this.opened.keys()) {
      if (this.openedBytes <= CACHED_BYTES || oldest === key) break;
      this.forget(oldest);
    }
    return plain;
  }

  private forget(key: string): void {
    const entry = this.opened.get(key);
    if (!entry) return;
    this.opened.delete(key);
    this.openedBytes -= entry.lengthBytes;
  }

  /** The bytes of a slice of a tree prime. */
  async readSlice(slice: ContentSlice): Promise<Buffer> {
    const plain = await this.openTree(slice.prime);
    return plain.subarray(slice.offsetBytes, slice.offsetBytes + slice.lengthBytes);
  }

  async node(pointer: NodePointer): Promise<TreeNode> {
    return decodeNode("inline" in pointer ? pointer.inline : await this.readSlice(pointer.slice));
  }

  /** The objects of a directory in byte order of names; opens one page after the other. */
  async *objects(pointer: NodePointer, depth = 0): AsyncGenerator<TreeObject> {
    if (depth > INDEX_DEPTH_COUNT) failTree("an index nested too deep");
    const node = await this.node(pointer);
    if ("objects" in node) {
      yield* node.objects;
      return;
    }
    let previous: ByteString | undefined;
    for (const page of node.pages) {
      let isFirst = true;
      for await (const object of this.objects({ slice: page.slice }, depth + 1)) {
        if (isFirst && object.name !== page.firstName) failTree("a page begins with another name than its index says");
        isFirst = false;
        if (previous !== undefined && object.name <= previous) failTree("names out of order or twice across pages");
        previous = object.name;
        yield object;
      }
    }
  }

  /** The content slices of a file, in order. */
  async *content(content: Content): AsyncGenerator<ContentSlice> {
    if ("slices" in content) {
      yield* content.slices;
      return;
    }
    for (const page of content.pages) {
      const slices = decodeReferencePage(await this.readSlice(page));
      if (content.depth <= 1) yield* slices;
      else yield* this.content({ pages: slices, depth: content.depth - 1 });
    }
  }

  /** The object called `name` in a directory; reads only the pages that can hold it. */
  async child(pointer: NodePointer, name: ByteString): Promise<TreeObject | undefined> {
    let node = await this.node(pointer);
    for (let depth = 0; "pages" in node; depth++) {
      if (depth >= INDEX_DEPTH_COUNT) failTree("an index nested too deep");
      const page = node.pages.findLast((candidate) => candidate.firstName <= name);
      if (!page) return undefined;
      node = await this.node({ slice: page.slice });
    }
    return node.objects.find((object) => object.name === name);
  }

  /** The object at `path` below a directory; undefined when there is none. */
  async find(pointer: NodePointer, path: readonly ByteString[]): Promise<TreeObject | undefined> {
    let object: TreeObject | undefined;
    for (const name of path) {
      const node: NodePointer | undefined =
        object === undefined ? pointer : object.type === "directory" ? object.node : undefined;
      if (!node) return undefined;
      object = await this.child(node, name);
      if (!object) return undefined;
    }
    return object;
  }
}
