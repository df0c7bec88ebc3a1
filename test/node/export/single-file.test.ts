// Goal: any range of any file gives exactly its bytes, with the headers of RFC 9110, and opens no prime outside it.
// Method: ranges at and around every border against slices of the known content.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { entityTagOf, parseRange, readRange } from "#node/export/single-file.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import type { FileObject } from "#protocol/tree.ts";
import { suite } from "#test/support/suite.ts";
import { SealedPrimes } from "./captured-tree.ts";

const test = suite("single file export");
const MIB = 1024 * 1024;
const primes = new SealedPrimes();
const content = randomBytes(3 * MIB + 77);
const file = primes.file("f", content);

async function bodyOf(object: FileObject, range: string): Promise<Buffer> {
  const answer = readRange(primes.source(), object, { range });
  assert.equal(answer.status, 206);
  const chunks: Buffer[] = [];
  for await (const chunk of answer.chunks!) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  assert.equal(answer.headers["content-length"], String(body.length));
  return body;
}

test("ranges are parsed as RFC 9110 says", () => {
  const cases: [header: string | undefined, expected: ReturnType<typeof parseRange>][] = [
    [undefined, "whole"],
    ["bytes=0-", { startBytes: 0, endBytes: 100 }],
    ["bytes=0-0", { startBytes: 0, endBytes: 1 }],
    ["Bytes= 5-9 ", { startBytes: 5, endBytes: 10 }],
    ["bytes=90-1000", { startBytes: 90, endBytes: 100 }],
    ["bytes=-5", { startBytes: 95, endBytes: 100 }],
    ["bytes=-500", { startBytes: 0, endBytes: 100 }],
    ["bytes=100-", "unsatisfiable"],
    ["bytes=-0", "unsatisfiable"],
    // Malformed, of another unit or several: ignored, as a server may.
    ["bytes=9-5", "whole"],
    ["bytes=-", "whole"],
    ["bytes=1-2,4-5", "whole"],
    ["lines=1-2", "whole"],
    ["bytes=1e3-", "whole"],
    [`bytes=${"9".repeat(400)}-`, "whole"],
  ];
  for (const [header, expected] of cases) assert.deepEqual(parseRange(header, 100), expected, header);
  assert.equal(parseRange("bytes=-5", 0), "unsatisfiable");
});

test("every range around the borders of slices gives exactly its bytes", async () => {
  const borders = [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB, content.length - 1];
  for (const from of borders) {
    for (const to of borders) {
      if (to >= from)
        assert.ok((await bodyOf(file, `bytes=${from}-${to}`)).equals(content.subarray(from, to + 1)), `${from}-${to}`);
    }
  }
});

test("holes are zeros in every range", async () => {
  const extents = [
    { offsetBytes: 1000, lengthBytes: 2 * MIB },
    { offsetBytes: 5 * MIB, lengthBytes: MIB + 77 },
  ];
  const sparse: FileObject = { ...file, name: "s" as ByteString, sizeBytes: 8 * MIB, extents };
  const expected = Buffer.alloc(8 * MIB);
  content.copy(expected, 1000, 0, 2 * MIB);
  content.copy(expected, 5 * MIB, 2 * MIB);
  const borders = [
    0,
    999,
    1000,
    1001,
    MIB,
    2 * MIB + 999,
    2 * MIB + 1000,
    4 * MIB,
    5 * MIB,
    6 * MIB + 76,
    6 * MIB + 77,
    8 * MIB - 1,
  ];
  for (const from of borders) {
    for (const to of borders) {
      if (to >= from)
        assert.ok(
          (await bodyOf(sparse, `bytes=${from}-${to}`)).equals(expected.subarray(from, to + 1)),
          `${from}-${to}`,
        );
    }
  }
});

test("a range opens only the primes that it touches", async () => {
  primes.fetched.length = 0;
  await bodyOf(file, `bytes=${MIB + 5}-${MIB + 10}`);
  const slices = "slices" in file.content ? file.content.slices : [];
  assert.deepEqual(primes.fetched, [slices[1]!.prime.id]);
});

test("an answer carries length, range and a strong tag", async () => {
  const whole = readRange(primes.source(), file, {});
  assert.equal(whole.status, 200);
  assert.deepEqual(whole.headers, {
    etag: entityTagOf(file),
    "accept-ranges": "bytes",
    "content-length": String(content.length),
  });
  const part = readRange(primes.source(), file, { range: "bytes=1-2" });
  assert.equal(part.headers["content-range"], `bytes 1-2/${content.length}`);
  const none = readRange(primes.source(), file, { range: `bytes=${content.length}-` });
  assert.equal(none.status, 416);
  assert.equal(none.headers["content-range"], `bytes */${content.length}`);
  assert.equal(none.chunks, undefined);
});

test("conditions are kept: what is known is not sent, and a range of another version is sent whole", () => {
  const etag = entityTagOf(file);
  assert.equal(readRange(primes.source(), file, { ifNoneMatch: `"x", W/${etag}` }).status, 304);
  assert.equal(readRange(primes.source(), file, { range: "bytes=0-1", ifRange: etag }).status, 206);
  assert.equal(readRange(primes.source(), file, { range: "bytes=0-1", ifRange: `"other"` }).status, 200);
  assert.notEqual(entityTagOf(primes.file("f", content.subarray(1))), etag);
});

test("an empty file has a whole answer and no range", () => {
  const empty = primes.file("e", "");
  assert.equal(readRange(primes.source(), empty, {}).headers["content-length"], "0");
  assert.equal(readRange(primes.source(), empty, { range: "bytes=0-" }).status, 416);
});

test("a long list of slices is read from its pages", async () => {
  const small = primes.file("s", content.subarray(0, 10_000));
  const slice = "slices" in small.content ? small.content.slices[0]! : assert.fail();
  const pieces = Array.from({ length: 1000 }, (_, index) => ({
    prime: slice.prime,
    offsetBytes: index * 10,
    lengthBytes: 10,
  }));
  const paged: FileObject = { ...small, content: primes.content(pieces) };
  assert.ok("pages" in paged.content);
  assert.ok((await bodyOf(paged, "bytes=4321-9998")).equals(content.subarray(4321, 9999)));
});

test("slices that hold less than the tree says are an error, not a short answer", async () => {
  const lying: FileObject = { ...file, sizeBytes: content.length + 1 };
  await assert.rejects(bodyOf(lying, "bytes=0-"), { code: "tree-invalid" });
});

test.run();
