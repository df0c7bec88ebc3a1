/** Goal: a secret is found in whatever form it leaks, and nothing is found where there is none. Method: each form planted in noise, at each place. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { compressSync } from "lz4-napi";
import { compressPlain } from "#protocol/compression.ts";
import { noise } from "#test/support/noise.ts";
import { SecretSearch, randomMarker } from "#test/support/secret-search.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("search for secrets");
const secrets = new Map<string, Buffer>(
  Array.from({ length: 1000 }, (_, at) => [`marker ${at}`, Buffer.from(randomMarker())] as const),
);
secrets.set("a key", randomBytes(32));
const search = new SecretSearch(secrets);
const around = (bytes: Uint8Array): Buffer => Buffer.concat([noise("before", 5000), bytes, noise("after", 3000)]);
const namesIn = (bytes: Buffer): string[] => [...new Set(search.search(bytes).map(({ name }) => name))].toSorted();

const forms: Readonly<Record<string, (secret: Buffer) => Uint8Array>> = {
  "as it is": (secret) => secret,
  hex: (secret) => Buffer.from(secret.toString("hex")),
  "upper hex": (secret) => Buffer.from(secret.toString("hex").toUpperCase()),
  ...Object.fromEntries(
    (["base64", "base64url"] as const).flatMap((encoding) =>
      [0, 1, 2].map((shift) => [
        `${encoding} after ${shift} bytes`,
        (secret: Buffer) =>
          Buffer.from(Buffer.concat([Buffer.alloc(shift, 0xff), secret, Buffer.alloc(2, 0xff)]).toString(encoding)),
      ]),
    ),
  ),
  zlib: (secret) => deflateSync(Buffer.concat([Buffer.alloc(500, "text "), secret])),
  gzip: (secret) => gzipSync(Buffer.concat([Buffer.alloc(500, "text "), secret])),
  "hex in gzip": (secret) => gzipSync(Buffer.from(`{"key":"${secret.toString("hex")}"}`)),
  "gzip that is cut off": (secret) => gzipSync(Buffer.concat([secret, noise("long", 20_000)])).subarray(0, 10_000),
  zstd: (secret) => zstdCompressSync(Buffer.concat([Buffer.alloc(500, "text "), secret])),
  "hex in zstd": (secret) => zstdCompressSync(Buffer.from(`{"key":"${secret.toString("hex")}"}`)),
  "a prime's plaintext, as it is compressed before it is sealed": (secret) =>
    compressPlain(Buffer.concat([Buffer.alloc(50_000, "text of a lesson "), Buffer.from(secret.toString("hex"))]))
      .bytes,
  "zstd that is cut off": (secret) =>
    zstdCompressSync(Buffer.concat([secret, noise("long", 600_000)])).subarray(0, 400_000),
  LZ4: (secret) => compressSync(Buffer.concat([Buffer.alloc(500, "text "), secret, Buffer.alloc(500, "text ")])),
};

for (const [form, make] of Object.entries(forms))
  test(`one that leaks is found: ${form}`, () => {
    for (const name of ["marker 0", "marker 999", "a key"])
      assert.deepEqual(namesIn(around(make(secrets.get(name)!))), [name]);
  });

test("all of them are found beside each other, also when they were compressed together", () => {
  const all = Buffer.concat([...secrets.values()]);
  for (const bytes of [all, gzipSync(all), zstdCompressSync(all)])
    assert.equal(namesIn(around(bytes)).length, secrets.size);
  // By chance four letters of one may be as those of another, and are not written again.
  const count = namesIn(around(compressSync(all))).length;
  assert.ok(count >= secrets.size - 10, `${count}`);
});

test("nothing is found in noise, nor a part of a secret", () => {
  assert.deepEqual(namesIn(noise("nothing", 4_000_000)), []);
  assert.deepEqual(namesIn(around(secrets.get("a key")!.subarray(1))), []);
});

test("what is too short to be looked for is refused", () => {
  assert.throws(() => new SecretSearch(new Map([["short", Buffer.from("short")]])));
});

test.run();
