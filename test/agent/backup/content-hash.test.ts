/** Goal: the content hash is AES-256-GMAC. Method: OpenSSL's GMAC by its command. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { contentHash, contentHashes, contentKeyFrom } from "#agent/backup/content-hash.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("content hash");
const keyBytes = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const key = contentKeyFrom(keyBytes);

function openSslGmac(content: Uint8Array): string {
  const options = ["cipher:AES-256-GCM", `hexkey:${keyBytes.toString("hex")}`, `hexiv:${"00".repeat(12)}`];
  const words = ["mac", "-binary", ...options.flatMap((option) => ["-macopt", option]), "-in", "-", "GMAC"];
  const { stdout, stderr, status } = spawnSync("openssl", words, { input: content });
  assert.equal(status, 0, stderr.toString());
  return stdout.toString("hex");
}

test("it is what OpenSSL's GMAC gives, for contents of any length", ({ skip }) => {
  if (spawnSync("openssl", ["version"]).status !== 0) skip("openssl is not installed");
  for (const length of [1, 15, 16, 17, 4096, 100_000, 4 * 1024 * 1024]) {
    const content = randomBytes(length);
    assert.equal(contentHash(key, content).toString("hex"), openSslGmac(content), `${length} bytes`);
  }
});

test("contents that differ in a byte, in their length or in trailing zeros have other hashes, and so have other keys", () => {
  const content = randomBytes(1000);
  const changed = Buffer.from(content);
  changed[999]! ^= 1;
  const all = [content, changed, content.subarray(0, 999), Buffer.concat([content, Buffer.alloc(1)])];
  const hashes = all.map((each) => contentHash(key, each).toString("hex"));
  hashes.push(contentHash(contentKeyFrom(Buffer.alloc(32, 1)), content).toString("hex"));
  assert.equal(new Set(hashes).size, hashes.length);
});

test("several are hashed end to end, with zeros for no content", () => {
  const [one, other] = [randomBytes(10), randomBytes(20)];
  const expected = Buffer.concat([contentHash(key, one), Buffer.alloc(16), contentHash(key, other)]);
  assert.ok(contentHashes(key, [one, Buffer.alloc(0), other]).equals(expected));
});

test.run();
