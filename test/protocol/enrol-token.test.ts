/** Enrolment tokens survive the trip through people's hands, and nothing damaged passes as one. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { base32 } from "multiformats/bases/base32";
import { encodeCbor } from "#protocol/cbor.ts";
import { type EnrolToken, formatEnrolToken, parseEnrolToken } from "#protocol/enrol-token.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("enrolment token");

const token: EnrolToken = {
  addresses: ["192.168.1.5:8443", "backup.school.example:8443", "[fe80::1%eth0]:443"],
  siteId: parseSiteId("ab".repeat(32)),
  caHash: randomBytes(32),
  secret: randomBytes(16),
};

const plain = (value: EnrolToken) => ({
  ...value,
  caHash: Buffer.from(value.caHash),
  secret: Buffer.from(value.secret),
});

test("comes back as it went, in upper case and with white space around too", () => {
  const text = formatEnrolToken(token);
  assert.match(text, /^costor1-[a-z2-7]+$/);
  for (const form of [text, ` ${text}\n`, text.toUpperCase()])
    assert.deepEqual(plain(parseEnrolToken(form)), plain(token));
});

test("refuses each change of one character, and each cut", () => {
  const text = formatEnrolToken(token);
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === "a" ? "b" : "a";
    const changed = text.slice(0, at) + other + text.slice(at + 1);
    assert.throws(
      () => parseEnrolToken(changed),
      (error) => isCostorError(error, "bad-token"),
      `character ${at}`,
    );
    assert.throws(
      () => parseEnrolToken(text.slice(0, at)),
      (error) => isCostorError(error, "bad-token"),
      `cut at ${at}`,
    );
  }
});

/** A token with a right check around any fields. */
function wrap(fields: Record<string, unknown>): string {
  const bytes = encodeCbor(fields as never);
  return `costor1-${base32.baseEncode(Buffer.concat([bytes, createHash("sha256").update(bytes).digest().subarray(0, 4)]))}`;
}

test("refuses fields that no site writes", () => {
  const good = { a: ["h:1"], c: Buffer.alloc(32), i: Buffer.alloc(32), k: Buffer.alloc(16) };
  assert.doesNotThrow(() => parseEnrolToken(wrap(good)));
  const bad: Record<string, unknown>[] = [
    { ...good, a: [] },
    { ...good, a: Array.from({ length: limits.enrolTokenAddressesCount + 1 }, () => "h:1") },
    { ...good, a: ["h"] },
    { ...good, a: ["h:0"] },
    { ...good, a: ["h:65536"] },
    { ...good, a: ["h/../x:1"] },
    { ...good, a: [7] },
    { ...good, a: "h:1" },
    { ...good, c: Buffer.alloc(31) },
    { ...good, i: Buffer.alloc(31) },
    { ...good, k: Buffer.alloc(17) },
    { ...good, x: 1 },
    { a: good.a, c: good.c, i: good.i },
  ];
  for (const fields of bad)
    assert.throws(
      () => parseEnrolToken(wrap(fields)),
      (error) => isCostorError(error, "bad-token"),
      JSON.stringify(fields),
    );
  assert.throws(
    () => parseEnrolToken(`costor1-${"a".repeat(limits.enrolTokenCharacters)}`),
    (error) => isCostorError(error, "bad-token"),
  );
});

test("refuses to carry addresses that are none", () => {
  for (const addresses of [[], ["no port"], ["h:99999"]]) {
    assert.throws(
      () => formatEnrolToken({ ...token, addresses }),
      (error) => isCostorError(error, "bad-request"),
    );
  }
});

test.run();
