/** Goal: what comes again is not read again, whoever changes the bytes that it came in, and memory is bounded. Method: entries of one author and certificates of many, past the limits. */
import assert from "node:assert/strict";
import { openLog, parseEntry } from "#ledger/entry.ts";
import { limits } from "#protocol/limits.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("recently read");

test("the same bytes give the same entry, and it does not change with the message that it came in", () => {
  const bytes = new LedgerAuthor("one").entry({ kind: "note", data: { text: "said" } });
  const message = Buffer.concat([Buffer.alloc(100), bytes]);
  const entry = parseEntry(message.subarray(100));
  message.fill(0);
  assert.equal(parseEntry(bytes), entry);
  assert.deepEqual(entry.bytes, bytes);
  assert.equal(entry.data["text"], "said");
  const [other] = [Buffer.from(bytes)];
  other[other.length - 1]! ^= 1;
  assert.notEqual(parseEntry(other), entry, "another signature makes another entry");
});

test("so many bytes are remembered, those that came last", () => {
  const author = new LedgerAuthor("one");
  const first = author.entry();
  const entry = parseEntry(first);
  const large = { data: { large: Buffer.alloc(60_000) } };
  let newest = author.entry(large);
  for (let bytes = 0; bytes <= limits.recentEntriesBytes; bytes += newest.length)
    parseEntry((newest = author.entry(large)));
  assert.notEqual(parseEntry(first), entry);
  assert.equal(parseEntry(newest), parseEntry(Buffer.from(newest)));
});

test("certificates are verified once while they are remembered, and so many bytes of them are", () => {
  const { bytes } = new LedgerAuthor("one").log;
  const log = openLog(bytes);
  assert.equal(openLog(Buffer.from(bytes)), log);
  const count = Math.ceil(limits.recentCertificatesBytes / bytes.length);
  for (let number = 0; number <= count; number++) openLog(new LedgerAuthor(`other ${number}`).log.bytes);
  assert.notEqual(openLog(bytes), log);
});

test.run();
