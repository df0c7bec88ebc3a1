// Goal: headers say exactly what they are given, at and around each field's limit. Method: the independent parser.
import assert from "node:assert/strict";
import { type TarHeader, encodePaxRecord, encodeTarHeader, formatPaxTime } from "#node/export/tar-header.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { suite } from "#test/support/suite.ts";
import { type TarMember, parseTar } from "./tar-parser.ts";

const test = suite("tar headers");
const plain: TarHeader = {
  path: "a" as ByteString,
  type: "0",
  mode: 0o644,
  uid: 1,
  gid: 2,
  mtimeNs: 5_000_000_000n,
  dataBytes: 0,
};

function parsed(header: Partial<TarHeader>): TarMember {
  return parseTar(Buffer.concat([encodeTarHeader({ ...plain, ...header }), Buffer.alloc(1024)]))[0]!;
}

test("a plain entry needs no PAX header", () => {
  const member = parsed({});
  assert.equal(encodeTarHeader(plain).length, 512);
  assert.deepEqual(
    { ...member, data: undefined },
    {
      type: "0",
      mode: 0o644,
      pax: new Map(),
      path: "a",
      linkPath: "",
      uid: 1,
      gid: 2,
      user: "",
      mtime: "5",
      dataBytes: 0,
      data: undefined,
    },
  );
});

test("a record's length counts its own digits, also where they become more", () => {
  for (let length = 0; length < 1200; length++) {
    const record = encodePaxRecord({ keyword: "k", value: "v".repeat(length) });
    assert.equal(Number(record.toString().split(" ")[0]), record.length);
  }
});

test("names and targets of any length and any bytes come through", () => {
  for (const name of ["x".repeat(100), "x".repeat(101), "é".repeat(5000), "a\nb=c d\xff\xfe", "y".repeat(300_000)]) {
    const bytes = name as ByteString;
    const member = parsed({ path: bytes, type: "2", linkPath: bytes });
    assert.equal(member.path, name);
    assert.equal(member.linkPath, name);
  }
  assert.ok(parsed({ path: "x".repeat(100) as ByteString }).pax.size === 0);
});

test("only names that are not UTF-8 are declared binary", () => {
  assert.equal(parsed({ path: "\xff" as ByteString }).pax.get("hdrcharset"), "BINARY");
  assert.equal(parsed({ type: "2", linkPath: "\xff" as ByteString }).pax.get("hdrcharset"), "BINARY");
  assert.equal(parsed({ path: Buffer.from("é").toString("latin1") as ByteString }).pax.has("hdrcharset"), false);
});

test("numbers at and above each field's limit come through", () => {
  for (const id of [0, 2 ** 21 - 1, 2 ** 21, 2 ** 32 - 1]) {
    const member = parsed({ uid: id, gid: id });
    assert.deepEqual([member.uid, member.gid], [id, id]);
    assert.equal(member.pax.has("uid"), id >= 2 ** 21);
  }
  for (const dataBytes of [8 * 2 ** 30 - 1, 8 * 2 ** 30, 2 ** 50]) {
    const header = encodeTarHeader({ ...plain, dataBytes });
    assert.equal(header.includes(` size=${dataBytes}\n`), dataBytes >= 8 * 2 ** 30);
  }
});

test("times keep their nanoseconds, before 1970 too", () => {
  assert.equal(formatPaxTime(0n), "0");
  assert.equal(formatPaxTime(1n), "0.000000001");
  assert.equal(formatPaxTime(-1n), "-0.000000001");
  assert.equal(formatPaxTime(-1_500_000_000n), "-1.5");
  assert.equal(formatPaxTime(1_700_000_000_123_456_789n), "1700000000.123456789");
  assert.equal(parsed({ mtimeNs: -2_000_000_000n }).mtime, "-2");
  assert.equal(parsed({ mtimeNs: 2n ** 40n * 1_000_000_000n }).mtime, String(2n ** 40n));
});

test("long and non-ASCII owner names come through", () => {
  for (const user of ["root", "u".repeat(31), "u".repeat(32), "jürgen", "a\nb"])
    assert.equal(parsed({ user }).user, user);
});

test("values of attributes are raw bytes", () => {
  const value = Buffer.from([0, 10, 61, 255, 32, 0]);
  const member = parsed({ records: [{ keyword: Buffer.from("SCHILY.xattr.user.\xff", "latin1"), value }] });
  assert.equal(member.pax.get("SCHILY.xattr.user.\xff"), value.toString("latin1"));
});

test("device numbers beyond the fields go to a record", () => {
  const block = encodeTarHeader({ ...plain, type: "3", device: { major: 4095, minor: 1_048_575 } });
  assert.equal(block.length, 512);
  assert.equal(parsed({ type: "3", device: { major: 2 ** 21, minor: 1 } }).pax.get("SCHILY.devmajor"), String(2 ** 21));
});

test.run();
