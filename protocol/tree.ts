/**
 * Objects of a snapshot and the tree nodes that hold them. Spec: docs/specs/trees.md.
 *
 * A node is a *leaf* (objects of one directory, in byte order of names) or an *index* over the pages of a wide directory.
 * A node lists each owner and each prime once; its objects point into those lists. A node is inlined in its parent or is
 * a slice of a tree prime. Encoding is canonical: equal objects give equal bytes.
 */
import type { ByteString } from "./byte-string.ts";
import { byteStringToBytes } from "./byte-string.ts";
import { type CborMap, type CborValue, encodeCbor } from "./cbor.ts";
import { CostorError } from "./errors.ts";
import { type PrimeId, primeIdToBytes } from "./ids.ts";
import { limits } from "./limits.ts";
import type { PrimeReference } from "./sealing.ts";

export interface ExtendedAttribute {
  readonly name: ByteString;
  readonly value: Uint8Array;
}

export interface FileAttributes {
  /** Permission bits with setuid, setgid and sticky: 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Names of the owner at backup time, when the machine knew them. */
  readonly user?: string;
  readonly group?: string;
  /** Nanoseconds since 1970; seconds have 64 bits with a sign, so that years past 2262 and before 1678 are exact too. */
  readonly mtimeNs: bigint;
  /** In byte order of names. POSIX ACLs and file capabilities are extended attributes too. */
  readonly xattrs?: readonly ExtendedAttribute[];
}

/** A part of a prime's plaintext. */
export interface ContentSlice {
  readonly prime: PrimeReference;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/**
 * What a file holds: slices end to end; or, for a long list, slices of tree primes that hold reference pages, `depth`
 * levels above the content (1: the pages list content slices).
 */
export type Content =
  | { readonly slices: readonly ContentSlice[] }
  | { readonly pages: readonly ContentSlice[]; readonly depth: number };

export type NodePointer = { readonly inline: Uint8Array } | { readonly slice: ContentSlice };

/** A range of a sparse file that holds data. */
export interface DataExtent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

interface Named extends FileAttributes {
  readonly name: ByteString;
  /** Equal for all names of one inode in a snapshot (see link-key.ts); 8 bytes. Absent for an inode with one name. */
  readonly linkGroup?: Uint8Array;
  /** Names that the inode had on the machine; some may lie outside the snapshot. */
  readonly linkCount?: number;
}

export interface FileObject extends Named {
  readonly type: "file";
  readonly sizeBytes: number;
  readonly content: Content;
  /** Ascending data ranges of a sparse file, whose content is these ranges end to end. Absent: no holes. */
  readonly extents?: readonly DataExtent[];
  /** The file changed while it was read; its bytes may be from different moments. */
  readonly changed?: boolean;
}
export interface DirectoryObject extends Named {
  readonly type: "directory";
  readonly node: NodePointer;
}
export interface SymlinkObject extends Named {
  readonly type: "symlink";
  readonly target: ByteString;
}
export interface FifoObject extends Named {
  readonly type: "fifo";
}
export interface DeviceObject extends Named {
  readonly type: "character" | "block";
  readonly major: number;
  readonly minor: number;
}
export type TreeObject = FileObject | DirectoryObject | SymlinkObject | FifoObject | DeviceObject;
export type ObjectType = TreeObject["type"];

export const objectTypes: readonly ObjectType[] = ["file", "directory", "symlink", "fifo", "character", "block"];

/** Whether `name` can be an object's name: not empty, not `.` or `..`, without `/` and NUL, at most 255 bytes. */
export function isObjectName(name: string): boolean {
  return (
    name !== "" &&
    name !== "." &&
    name !== ".." &&
    name.length <= limits.nameBytes &&
    !name.includes("/") &&
    !name.includes("\0")
  );
}

/** Collects the owners and primes that a node's objects share. */
class NodeTables {
  readonly owners: CborValue[] = [];
  readonly primes: CborValue[] = [];
  private readonly ownerIndexes = new Map<string, number>();
  private readonly primeIndexes = new Map<PrimeId, number>();

  owner(object: FileAttributes): number {
    const key = `${object.uid} ${object.gid} ${object.user ?? ""}\0${object.group ?? ""}`;
    let index = this.ownerIndexes.get(key);
    if (index === undefined) {
      index = this.owners.push([object.uid, object.gid, object.user || null, object.group || null]) - 1;
      this.ownerIndexes.set(key, index);
    }
    return index;
  }

  prime(reference: PrimeReference): number {
    let index = this.primeIndexes.get(reference.id);
    if (index === undefined) {
      index = this.primes.push([primeIdToBytes(reference.id), reference.key, reference.lengthBytes]) - 1;
      this.primeIndexes.set(reference.id, index);
    }
    return index;
  }

  /** Slices as a flat list: prime index, offset, length. */
  slices(slices: readonly ContentSlice[]): number[] {
    const flat: number[] = [];
    for (const slice of slices) flat.push(this.prime(slice.prime), slice.offsetBytes, slice.lengthBytes);
    return flat;
  }
}

const NS_PER_SECOND = 1_000_000_000n;

/** Whether a time is an integer of nanoseconds in an encoding: 64 bits with a sign. */
export const isPlainTime = (timeNs: bigint): boolean => BigInt.asIntN(64, timeNs) === timeNs;

/** Nanoseconds; or, where they need more than 64 bits, seconds and nanoseconds from 0 to 999,999,999. */
function encodeTime(timeNs: bigint): CborValue {
  if (isPlainTime(timeNs)) return timeNs;
  const partNs = ((timeNs % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  return [(timeNs - partNs) / NS_PER_SECOND, partNs];
}

/** Keys of an object's map, shared with the decoder; see docs/specs/trees.md. */
function encodeObject(object: TreeObject, tables: NodeTables): CborMap {
  const map: Record<string, CborValue | undefined> = {};
  if (object.type === "file") {
    if ("slices" in object.content) map["c"] = tables.slices(object.content.slices);
    if (object.linkGroup) map["g"] = object.linkGroup;
    if (object.extents) map["h"] = object.extents.flatMap((extent) => [extent.offsetBytes, extent.lengthBytes]);
    if (object.linkCount !== undefined) map["k"] = object.linkCount;
    if ("pages" in object.content) map["l"] = [object.content.depth, ...tables.slices(object.content.pages)];
  } else {
    if (object.type === "directory") {
      const node = object.node;
      map["d"] = "inline" in node ? node.inline : tables.slices([node.slice]);
    }
    if (object.linkGroup) map["g"] = object.linkGroup;
    if (object.type === "character" || object.type === "block") map["j"] = [object.major, object.minor];
    if (object.linkCount !== undefined) map["k"] = object.linkCount;
  }
  map["m"] = object.mode;
  map["n"] = byteStringToBytes(object.name);
  map["o"] = tables.owner(object);
  map["s"] = encodeTime(object.mtimeNs);
  map["t"] = objectTypes.indexOf(object.type);
  if (object.type === "file" && object.changed) map["w"] = true;
  if (object.xattrs?.length) map["x"] = object.xattrs.map((xattr) => [byteStringToBytes(xattr.name), xattr.value]);
  if (object.type === "symlink") map["y"] = byteStringToBytes(object.target);
  if (object.type === "file") map["z"] = object.sizeBytes;
  return map;
}

/** The leaf of `objects`, which are in byte order of their names. */
export function encodeLeaf(objects: readonly TreeObject[]): Buffer {
  const tables = new NodeTables();
  const entries = objects.map((object) => encodeObject(object, tables));
  return encodeCbor({ e: entries, o: tables.owners, p: tables.primes });
}

/** A page of a wide directory: the first name in it, and where its node is. */
export interface DirectoryPage {
  readonly firstName: ByteString;
  readonly slice: ContentSlice;
}

/** The index over a wide directory's pages, in order. */
export function encodeIndex(pages: readonly DirectoryPage[]): Buffer {
  const tables = new NodeTables();
  const entries = pages.map((page) => [byteStringToBytes(page.firstName), ...tables.slices([page.slice])]);
  return encodeCbor({ i: entries, p: tables.primes });
}

/** A page of a long reference list. */
export function encodeReferencePage(slices: readonly ContentSlice[]): Buffer {
  const tables = new NodeTables();
  const flat = tables.slices(slices);
  return encodeCbor({ c: flat, p: tables.primes });
}

/** About how many bytes `object` takes in a leaf, without its share of the tables. Deterministic; used for page cuts. */
export function objectWeightBytes(object: TreeObject): number {
  let bytes = 40 + object.name.length;
  for (const xattr of object.xattrs ?? []) bytes += 8 + xattr.name.length + xattr.value.length;
  if (object.type === "symlink") bytes += object.target.length;
  if (object.type === "directory" && "inline" in object.node) bytes += object.node.inline.length;
  if (object.type === "directory" && "slice" in object.node) bytes += 84;
  if (object.type === "file") {
    const slices = "slices" in object.content ? object.content.slices : object.content.pages;
    bytes += slices.length > 1 ? slices.length * 84 : 12;
    bytes += (object.extents?.length ?? 0) * 12;
  }
  return bytes;
}

/** Fails reading: what was sealed is not a valid tree. */
export function failTree(reason: string): never {
  throw new CostorError("tree-invalid", `tree: ${reason}`);
}
