/** Random tree objects for property tests, and their plain form for comparisons. */
import * as fc from "fast-check";
import { type ByteString, byteStringFromBytes } from "#protocol/byte-string.ts";
import { primeIdFromBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { PrimeReference } from "#protocol/sealing.ts";
import {
  type Content,
  type ContentSlice,
  type DataExtent,
  type FileObject,
  type TreeObject,
  isObjectName,
} from "#protocol/tree.ts";

const bytes = (minLength: number, maxLength = minLength) =>
  fc.uint8Array({ minLength, maxLength }).map((value) => Buffer.from(value));
const byteString = (minLength: number, maxLength: number) => bytes(minLength, maxLength).map(byteStringFromBytes);

export const sampleName = fc
  .oneof(byteString(1, 12), byteString(1, limits.nameBytes))
  .filter((name) => isObjectName(name));

/** Few different primes, so that objects share them. The key and the length belong to the id. */
const primeReference: fc.Arbitrary<PrimeReference> = fc.integer({ min: 0, max: 12 }).map((number) => ({
  id: primeIdFromBytes(Buffer.alloc(32, number)),
  key: Buffer.alloc(32, 255 - number),
  lengthBytes: number === 0 ? limits.primePlainBytes : 1000 * number,
}));

export const sampleSlice: fc.Arbitrary<ContentSlice> = fc
  .tuple(primeReference, fc.nat(limits.primePlainBytes), fc.nat(limits.primePlainBytes))
  .map(([prime, one, other]) => {
    const ends = [one, other].map((end) => end % (prime.lengthBytes + 1)).toSorted((left, right) => left - right);
    return { prime, offsetBytes: ends[0]!, lengthBytes: ends[1]! - ends[0]! };
  });
const slices = fc.array(sampleSlice, { maxLength: 6 });

const ownerName = fc
  .string({ unit: "binary", minLength: 1, maxLength: 12 })
  .filter((name) => !name.includes("\0") && name.isWellFormed());

const nanoseconds = fc.bigInt({ min: -(1n << 63n) * 1_000_000_000n, max: (1n << 63n) * 1_000_000_000n - 1n });
const time = fc.oneof(fc.bigInt({ min: -(1n << 63n) - 3n, max: (1n << 63n) + 3n }), nanoseconds, fc.bigInt(-9n, 9n));

const id = fc.oneof(fc.nat(3), fc.nat(0xffff_ffff));
const attributes = fc.record(
  {
    mode: fc.nat(0o7777),
    uid: id,
    gid: id,
    mtimeNs: time,
    user: ownerName,
    group: ownerName,
    linkGroup: bytes(8),
    linkCount: fc.nat(1000),
    xattrs: fc
      .uniqueArray(fc.record({ name: sampleName, value: bytes(0, 40) }), {
        selector: ({ name }) => name,
        minLength: 1,
        maxLength: 4,
      })
      .map((xattrs) => xattrs.toSorted((one, other) => (one.name < other.name ? -1 : 1))),
  },
  { requiredKeys: ["mode", "uid", "gid", "mtimeNs"] },
);

const content: fc.Arbitrary<Content> = fc.oneof(
  slices.map((held) => ({ slices: held })),
  fc.record({ pages: slices, depth: fc.integer({ min: 1, max: 8 }) }),
);

/** A file whose size and extents fit its content. */
const fileFields = fc
  .record({
    content,
    isChanged: fc.boolean(),
    isSparse: fc.boolean(),
    gapBytes: fc.nat(1000),
    holeBytes: fc.nat(2 ** 40),
  })
  .map(
    ({ content: held, isChanged, isSparse, gapBytes, holeBytes }): Omit<FileObject, "name" | keyof FileAttributes> => {
      const parts = "slices" in held ? held.slices : held.pages;
      const heldBytes = parts.reduce((sum, slice) => sum + slice.lengthBytes, 0);
      const extents: DataExtent[] = [];
      let end = 0;
      for (const { lengthBytes } of parts) {
        if (lengthBytes > 0) extents.push({ offsetBytes: end + gapBytes, lengthBytes });
        if (lengthBytes > 0) end += gapBytes + lengthBytes;
      }
      const sizeBytes = isSparse ? end + holeBytes : heldBytes;
      return {
        type: "file",
        content: held,
        sizeBytes,
        ...(isSparse ? { extents } : {}),
        ...(isChanged ? { changed: true } : {}),
      };
    },
  );
type FileAttributes = { mode: number; uid: number; gid: number; mtimeNs: bigint };

const device = fc.constantFrom("character", "block");
const kind = fc.oneof(
  fileFields,
  fc.record({
    type: fc.constant("directory" as const),
    node: fc.oneof(
      bytes(0, 60).map((inline) => ({ inline })),
      sampleSlice.map((slice) => ({ slice })),
    ),
  }),
  fc.record({
    type: fc.constant("symlink" as const),
    target: byteString(1, 60).filter((target) => !target.includes("\0")),
  }),
  fc.constant({ type: "fifo" as const }),
  fc.record({ type: device, major: fc.nat(4095), minor: fc.nat(1_048_575) }),
);

const sampleObject: fc.Arbitrary<TreeObject> = fc
  .tuple(sampleName, attributes, kind)
  .map(([name, common, own]) => ({ name, ...common, ...own }) as TreeObject);

/** The objects of a directory, in order. */
export const sampleDirectory: fc.Arbitrary<TreeObject[]> = fc
  .uniqueArray(sampleObject, { selector: ({ name }) => name, maxLength: 12 })
  .map((objects) => objects.toSorted((one, other) => (one.name < other.name ? -1 : 1)));

const byteStringFields = new Set(["name", "target", "firstName"]);

/** With names and bytes in hex and bigints as text: what the vectors hold, and what compares without regard to Buffers. */
export function plainTree(value: unknown, field = ""): unknown {
  if (typeof value === "string" && byteStringFields.has(field)) return Buffer.from(value, "latin1").toString("hex");
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map((item) => plainTree(item, field === "names" ? "name" : ""));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainTree(item, key)]));
}

/** A file with nothing but a name and content of `lengthBytes`, for tests that need many objects. */
export function plainFile(name: string, slice?: ContentSlice): FileObject {
  return {
    name: name as ByteString,
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeNs: 0n,
    sizeBytes: slice?.lengthBytes ?? 0,
    content: { slices: slice ? [slice] : [] },
  };
}
