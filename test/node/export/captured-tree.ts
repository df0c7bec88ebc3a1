/** Snapshots in memory for tests of exports: of real directories, and of objects that no file system here would hold. */
import { readSync } from "node:fs";
import { type Directory, closeDescriptor } from "#agent/files/directory.ts";
import { captureAttributes, captureExtents, captureSpecial } from "#agent/files/capture.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { STAT_BYTES, decodeStat } from "#agent/files/stat.ts";
import type { ExportSource, ExportStream } from "#node/export/export-source.ts";
import { OpenedPrimes } from "#node/export/opened-primes.ts";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { deriveScope } from "#protocol/scope.ts";
import { type PrimeKind, type PrimeReference, sealPrime } from "#protocol/sealing.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import {
  type ContentSlice,
  type DataExtent,
  type DirectoryObject,
  type DirectoryPage,
  type FileObject,
  type NodePointer,
  type TreeObject,
  encodeIndex,
  encodeLeaf,
  encodeReferencePage,
} from "#protocol/tree.ts";

const CHUNK_BYTES = 1024 * 1024;
const INLINE_BYTES = 4096;
const PAGE_COUNT = 400;
const REFERENCES_PER_PAGE_COUNT = 50;

export const sampleAttributes = { mode: 0o644, uid: 1000, gid: 1000, mtimeNs: 1_700_000_000_123_456_789n };

export const whole = (prime: PrimeReference): ContentSlice => ({
  prime,
  offsetBytes: 0,
  lengthBytes: prime.lengthBytes,
});

export class SealedPrimes {
  readonly stored = new Map<PrimeId, Buffer>();
  /** What was fetched, in order. */
  readonly fetched: PrimeId[] = [];
  private readonly scope = deriveScope(Buffer.alloc(32, 1));

  seal(plain: Uint8Array, kind: PrimeKind): PrimeReference {
    const { reference, stored } = sealPrime(plain, kind, this.scope);
    this.stored.set(reference.id, stored);
    return reference;
  }

  /** A reader with nothing opened yet. */
  source(): ExportSource {
    const fetchPrime = async (id: PrimeId): Promise<Uint8Array> => {
      this.fetched.push(id);
      const stored = this.stored.get(id);
      if (!stored) throw new CostorError("prime-missing", `prime ${id} is not held`);
      return stored;
    };
    const opened = new OpenedPrimes({ fetchPrime }, { limitBytes: 12 * 1024 * 1024 });
    return { tree: new TreeReader({ fetchPrime }), openSlice: (slice) => opened.openSlice(slice) };
  }

  /** A node in the form that its size calls for: inline, one page, or an index over pages. */
  node(objects: readonly TreeObject[]): NodePointer {
    const sorted = objects.toSorted((left: { name: string }, right: { name: string }) =>
      left.name < right.name ? -1 : 1,
    );
    if (sorted.length > PAGE_COUNT) {
      const pages: DirectoryPage[] = [];
      for (let at = 0; at < sorted.length; at += PAGE_COUNT) {
        const page = sorted.slice(at, at + PAGE_COUNT);
        pages.push({ firstName: page[0]!.name, slice: whole(this.seal(encodeLeaf(page), "tree")) });
      }
      return { slice: whole(this.seal(encodeIndex(pages), "tree")) };
    }
    const leaf = encodeLeaf(sorted);
    return leaf.length <= INLINE_BYTES ? { inline: leaf } : { slice: whole(this.seal(leaf, "tree")) };
  }

  /** Content of any length, with reference pages above a few slices. */
  content(slices: readonly ContentSlice[]): FileObject["content"] {
    if (slices.length <= REFERENCES_PER_PAGE_COUNT) return { slices };
    const pages: ContentSlice[] = [];
    for (let at = 0; at < slices.length; at += REFERENCES_PER_PAGE_COUNT) {
      pages.push(whole(this.seal(encodeReferencePage(slices.slice(at, at + REFERENCES_PER_PAGE_COUNT)), "tree")));
    }
    return { pages, depth: 1 };
  }

  file(name: string, content: Uint8Array | string, more: Partial<FileObject> = {}): FileObject {
    const bytes = Buffer.from(content as string);
    const slices: ContentSlice[] = [];
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
      slices.push(whole(this.seal(bytes.subarray(at, at + CHUNK_BYTES), "content")));
    return {
      ...sampleAttributes,
      name: byteStringFromText(name),
      type: "file",
      sizeBytes: bytes.length,
      content: this.content(slices),
      ...more,
    };
  }

  directory(name: string, objects: readonly TreeObject[]): DirectoryObject {
    return {
      ...sampleAttributes,
      mode: 0o755,
      name: byteStringFromText(name),
      type: "directory",
      node: this.node(objects),
    };
  }
}

/** The snapshot of a real directory: its own attributes and all below it but sockets, `name` for its name. */
export function captureTree(primes: SealedPrimes, path: string, name: string): DirectoryObject {
  using root = openRoot(byteStringFromText(path));
  const stat = Buffer.alloc(STAT_BYTES);
  root.statSelfInto(stat);
  return {
    ...captureAttributes(stat, { fd: root.fd, isPathOnly: false }, fail),
    name: byteStringFromText(name),
    type: "directory",
    node: captureNode(primes, root),
  };
}

const fail = (error: Error): never => {
  throw error;
};

function captureNode(primes: SealedPrimes, directory: Directory): NodePointer {
  const objects: TreeObject[] = [];
  for (const name of directory.names()) {
    const object = captureObject(primes, directory, name);
    if (object) objects.push(object);
  }
  return primes.node(objects);
}

function captureObject(primes: SealedPrimes, directory: Directory, name: ByteString): TreeObject | undefined {
  const stat = Buffer.alloc(STAT_BYTES);
  directory.statInto(name, stat);
  const { type, inode, linkCount, sizeBytes, rdevMajor, rdevMinor } = decodeStat(stat);
  if (type === "socket") return undefined;
  if (type === "directory") {
    using child = directory.openChild(name);
    return {
      ...captureAttributes(stat, { fd: child.fd, isPathOnly: false }, fail),
      name,
      type,
      node: captureNode(primes, child),
    };
  }
  const linkGroup = Buffer.alloc(8);
  linkGroup.writeBigUInt64BE(BigInt(inode));
  const named = linkCount > 1 ? { name, linkGroup, linkCount } : { name };
  if (type === "file") {
    const fd = directory.openSameFile(name, stat);
    try {
      const extents = captureExtents(fd, stat);
      const attributes = captureAttributes(stat, { fd, isPathOnly: false }, fail);
      const slices = readSlices(primes, fd, extents ?? [{ offsetBytes: 0, lengthBytes: sizeBytes }]);
      return {
        ...attributes,
        ...named,
        type,
        sizeBytes,
        content: primes.content(slices),
        ...(extents ? { extents } : {}),
      };
    } finally {
      closeDescriptor(fd);
    }
  }
  const { attributes, target } = captureSpecial(directory, name, stat, fail);
  if (type === "symlink") return { ...attributes, ...named, type, target: target! };
  if (type === "fifo") return { ...attributes, ...named, type };
  return { ...attributes, ...named, type, major: rdevMajor, minor: rdevMinor };
}

function readSlices(primes: SealedPrimes, fd: number, extents: readonly DataExtent[]): ContentSlice[] {
  const slices: ContentSlice[] = [];
  for (const { offsetBytes, lengthBytes } of extents) {
    for (let at = 0; at < lengthBytes; at += CHUNK_BYTES) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, lengthBytes - at));
      readSync(fd, chunk, 0, chunk.length, offsetBytes + at);
      slices.push(whole(primes.seal(chunk, "content")));
    }
  }
  return slices;
}

/** All bytes of a stream that is known to be short. */
export async function collect({ chunks }: Pick<ExportStream, "chunks">): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}
