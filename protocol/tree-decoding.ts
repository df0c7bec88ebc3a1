/** Reads tree nodes and reference pages: bounded, canonical, nothing trusted. Throws `tree-invalid` or `bad-encoding`. */
import { type ByteString, byteStringFromBytes } from "./byte-string.ts";
import { type CborMap, type CborValue, decodeCbor } from "./cbor.ts";
import { primeIdFromBytes } from "./ids.ts";
import { limits } from "./limits.ts";
import type { PrimeReference } from "./sealing.ts";
import {
  type Content,
  type ContentSlice,
  type DataExtent,
  type DirectoryPage,
  type ExtendedAttribute,
  type FileAttributes,
  type NodePointer,
  type TreeObject,
  failTree,
  isObjectName,
  isPlainTime,
  objectTypes,
} from "./tree.ts";

export type TreeNode = { readonly objects: TreeObject[] } | { readonly pages: DirectoryPage[] };

/** Reference pages over reference pages: 64 to the power of this many, more than any file needs. */
const REFERENCE_DEPTH_COUNT = 8;

type Owner = Pick<FileAttributes, "uid" | "gid" | "user" | "group">;

function asMap(value: CborValue | undefined, what: string): CborMap {
  if (value === null || typeof value !== "object" || Array.isArray(value) || value instanceof Uint8Array) {
    failTree(`${what} is not a map`);
  }
  return value as CborMap;
}

function asList(value: CborValue | undefined, what: string): readonly CborValue[] {
  return Array.isArray(value) ? value : failTree(`${what} is not a list`);
}

function asBytes(value: CborValue | undefined, what: string, length?: number): Uint8Array {
  if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length))
    failTree(`${what} is not bytes`);
  return value;
}

function asCount(value: CborValue | undefined, what: string, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || value < 0 || value > max) failTree(`${what} is not an integer from 0 to ${max}`);
  return value;
}

function asName(value: CborValue | undefined): ByteString {
  const name = byteStringFromBytes(asBytes(value, "a name"));
  return isObjectName(name) ? name : failTree("a name is empty, `.`, `..`, too long, or holds `/` or NUL");
}

function decodePrimes(value: CborValue | undefined): PrimeReference[] {
  return asList(value, "the list of primes").map((item) => {
    const [id, key, length] = asList(item, "a prime");
    return {
      id: primeIdFromBytes(asBytes(id, "a PrimeId", 32)),
      key: asBytes(key, "a key", 32),
      lengthBytes: asCount(length, "a prime's length", limits.primePlainBytes),
    };
  });
}

function decodeSlices(flat: readonly CborValue[], primes: readonly PrimeReference[]): ContentSlice[] {
  if (flat.length % 3 !== 0) failTree("a list of slices is cut short");
  const slices: ContentSlice[] = [];
  for (let at = 0; at < flat.length; at += 3) {
    const prime = primes[asCount(flat[at], "a prime's index")] ?? failTree("a slice of a prime that is not listed");
    const offsetBytes = asCount(flat[at + 1], "an offset");
    const lengthBytes = asCount(flat[at + 2], "a length");
    if (offsetBytes + lengthBytes > prime.lengthBytes) failTree("a slice beyond its prime");
    slices.push({ prime, offsetBytes, lengthBytes });
  }
  return slices;
}

function decodeOwner(item: CborValue): Owner {
  const [uid, gid, user, group] = asList(item, "an owner");
  const owner = { uid: asCount(uid, "a uid", 0xffff_ffff), gid: asCount(gid, "a gid", 0xffff_ffff) };
  return {
    ...owner,
    ...(user === null ? {} : { user: asOwnerName(user) }),
    ...(group === null ? {} : { group: asOwnerName(group) }),
  };
}

function asOwnerName(value: CborValue | undefined): string {
  return typeof value === "string" && value !== "" && !value.includes("\0") ? value : failTree("an owner's name");
}

function decodeTime(value: CborValue | undefined): bigint {
  if (typeof value === "number" || typeof value === "bigint") {
    return isPlainTime(BigInt(value)) ? BigInt(value) : failTree("a time of more than 64 bits is no list");
  }
  const [seconds, partNs] = asList(value, "a time");
  if (typeof seconds !== "number" && typeof seconds !== "bigint") failTree("a time's seconds are not an integer");
  const timeNs = BigInt(seconds) * 1_000_000_000n + BigInt(asCount(partNs, "a time's nanoseconds", 999_999_999));
  if (isPlainTime(timeNs)) failTree("a time that fits 64 bits is a list");
  return isPlainTime(BigInt(seconds)) ? timeNs : failTree("a time's seconds need more than 64 bits");
}

function decodeXattrs(value: CborValue): ExtendedAttribute[] {
  let total = 0;
  const xattrs = asList(value, "the extended attributes").map((item) => {
    const [name, bytes] = asList(item, "an extended attribute");
    const xattr = { name: byteStringFromBytes(asBytes(name, "an attribute's name")), value: asBytes(bytes, "a value") };
    total += xattr.name.length + xattr.value.length;
    if (xattr.name === "" || xattr.name.length > limits.nameBytes || xattr.name.includes("\0"))
      failTree("an attribute's name");
    if (xattr.value.length > limits.xattrValueBytes || total > limits.xattrTotalBytes)
      failTree("attributes are too large");
    return xattr;
  });
  checkAscending(xattrs.map((xattr) => xattr.name));
  return xattrs;
}

function decodeExtents(value: CborValue, sizeBytes: number): DataExtent[] {
  const flat = asList(value, "the extents");
  const extents: DataExtent[] = [];
  let end = 0;
  for (let at = 0; at < flat.length; at += 2) {
    const extent = { offsetBytes: asCount(flat[at], "an extent"), lengthBytes: asCount(flat[at + 1], "an extent") };
    if (extent.offsetBytes < end || extent.lengthBytes === 0) failTree("extents overlap, are empty or out of order");
    end = extent.offsetBytes + extent.lengthBytes;
    if (end > sizeBytes) failTree("an extent beyond the file's end");
    extents.push(extent);
  }
  return extents;
}

function decodeContent(map: CborMap, primes: readonly PrimeReference[]): Content {
  if (map["l"] === undefined) return { slices: decodeSlices(asList(map["c"], "the content"), primes) };
  if (map["c"] !== undefined) failTree("a file with slices and with pages");
  const [depth, ...flat] = asList(map["l"], "the content's pages");
  if (depth === 0) failTree("pages of depth 0");
  return { depth: asCount(depth, "a depth", REFERENCE_DEPTH_COUNT), pages: decodeSlices(flat, primes) };
}

function decodeNodePointer(value: CborValue | undefined, primes: readonly PrimeReference[]): NodePointer {
  if (value instanceof Uint8Array) return { inline: value };
  const [slice, ...others] = decodeSlices(asList(value, "a directory's node"), primes);
  return slice && others.length === 0 ? { slice } : failTree("a directory has one node");
}

function checkSize(object: { sizeBytes: number; content: Content; extents?: readonly DataExtent[] }): void {
  if (!("slices" in object.content)) return;
  let held = 0;
  for (const slice of object.content.slices) held += slice.lengthBytes;
  let expected = object.sizeBytes;
  if (object.extents) expected = object.extents.reduce((sum, extent) => sum + extent.lengthBytes, 0);
  if (held !== expected) failTree(`a file of ${expected} data bytes has ${held}`);
}

function decodeObject(item: CborValue, owners: readonly Owner[], primes: readonly PrimeReference[]): TreeObject {
  const map = asMap(item, "an object");
  const type = objectTypes[asCount(map["t"], "a type")] ?? failTree("an unknown type of object");
  const named = {
    name: asName(map["n"]),
    ...(owners[asCount(map["o"], "an owner's index")] ?? failTree("an owner that is not listed")),
    mode: asCount(map["m"], "a mode", 0o7777),
    mtimeNs: decodeTime(map["s"]),
    ...(map["x"] === undefined ? {} : { xattrs: decodeXattrs(map["x"]) }),
    ...(map["g"] === undefined ? {} : { linkGroup: asBytes(map["g"], "a link group", 8) }),
    ...(map["k"] === undefined ? {} : { linkCount: asCount(map["k"], "a link count") }),
  };
  switch (type) {
    case "file": {
      const sizeBytes = asCount(map["z"], "a size");
      const object = {
        ...named,
        type,
        sizeBytes,
        content: decodeContent(map, primes),
        ...(map["h"] === undefined ? {} : { extents: decodeExtents(map["h"], sizeBytes) }),
        ...(map["w"] === true ? { changed: true } : {}),
      };
      checkSize(object);
      return object;
    }
    case "directory":
      return { ...named, type, node: decodeNodePointer(map["d"], primes) };
    case "symlink": {
      const target = byteStringFromBytes(asBytes(map["y"], "a link's target"));
      if (target === "" || target.length > limits.linkTargetBytes || target.includes("\0")) failTree("a link's target");
      return { ...named, type, target };
    }
    case "fifo":
      return { ...named, type };
    default: {
      const [major, minor] = asList(map["j"], "a device's numbers");
      return { ...named, type, major: asCount(major, "a device"), minor: asCount(minor, "a device") };
    }
  }
}

function checkAscending(names: readonly ByteString[]): void {
  for (let i = 1; i < names.length; i++) if (names[i - 1]! >= names[i]!) failTree("names out of order or twice");
}

/** The map that `bytes` encode: few enough that decoding them costs little, whatever they are. */
function decodePage(bytes: Uint8Array, what: string): CborMap {
  if (bytes.length > limits.treePageBytes) failTree(`${what} of ${bytes.length} bytes`);
  return asMap(decodeCbor(bytes), what);
}

export function decodeNode(bytes: Uint8Array): TreeNode {
  const map = decodePage(bytes, "a node");
  const primes = decodePrimes(map["p"]);
  if (map["i"] !== undefined) {
    const pages = asList(map["i"], "the pages").map((item) => {
      const [firstName, ...flat] = asList(item, "a page");
      const [slice, ...others] = decodeSlices(flat, primes);
      if (!slice || others.length > 0) failTree("a page of an index has one slice");
      return { firstName: asName(firstName), slice };
    });
    checkAscending(pages.map((page) => page.firstName));
    return { pages };
  }
  const owners = asList(map["o"], "the owners").map(decodeOwner);
  const objects = asList(map["e"], "the objects").map((item) => decodeObject(item, owners, primes));
  checkAscending(objects.map((object) => object.name));
  return { objects };
}

/** The slices that a reference page lists. */
export function decodeReferencePage(bytes: Uint8Array): ContentSlice[] {
  const map = decodePage(bytes, "a reference page");
  const slices = decodeSlices(asList(map["c"], "the slices"), decodePrimes(map["p"]));
  if (slices.length > limits.referencePageCount) failTree(`a reference page of ${slices.length} slices`);
  return slices;
}
