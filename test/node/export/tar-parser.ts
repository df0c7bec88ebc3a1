/** Reads a whole PAX archive by the letter of POSIX, with no code of the writer; throws for anything malformed. */
import assert from "node:assert/strict";

export interface TarMember {
  /** The header's own fields, before PAX records. */
  readonly type: string;
  readonly mode: number;
  /** PAX records as raw bytes, one character a byte. */
  readonly pax: ReadonlyMap<string, string>;
  /** Name, link target and numbers with the PAX records applied; names one character a byte. */
  readonly path: string;
  readonly linkPath: string;
  readonly uid: number;
  readonly gid: number;
  readonly user: string;
  readonly mtime: string;
  readonly dataBytes: number;
  readonly data: Buffer;
}

export function parseTar(archive: Buffer): TarMember[] {
  const members: TarMember[] = [];
  let pax = new Map<string, string>();
  let at = 0;
  for (;;) {
    const block = archive.subarray(at, at + 512);
    assert.equal(block.length, 512, "the archive ends without its two zero blocks");
    at += 512;
    if (block.every((byte) => byte === 0)) break;
    checkChecksum(block);
    assert.equal(text(block, 257, 6), "ustar");
    const type = String.fromCharCode(block[156]!);
    const dataBytes = Number(pax.get("size") ?? octal(block, 124, 12));
    const data = archive.subarray(at, at + dataBytes);
    assert.equal(data.length, dataBytes, "an entry's data is cut short");
    at += Math.ceil(dataBytes / 512) * 512;
    if (type === "x") {
      pax = parseRecords(data);
      continue;
    }
    members.push({
      type,
      mode: octal(block, 100, 8),
      pax,
      path: pax.get("GNU.sparse.name") ?? pax.get("path") ?? text(block, 0, 100),
      linkPath: pax.get("linkpath") ?? text(block, 157, 100),
      uid: Number(pax.get("uid") ?? octal(block, 108, 8)),
      gid: Number(pax.get("gid") ?? octal(block, 116, 8)),
      user: Buffer.from(pax.get("uname") ?? text(block, 265, 32), "latin1").toString(),
      mtime: pax.get("mtime") ?? String(octal(block, 136, 12)),
      dataBytes,
      data,
    });
    pax = new Map();
  }
  assert.ok(
    archive.subarray(at).every((byte) => byte === 0) && archive.length - at === 512,
    "an end of two zero blocks",
  );
  return members;
}

function parseRecords(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const length = Number(data.toString("latin1", at, space));
    const record = data.toString("latin1", space + 1, at + length);
    assert.ok(record.endsWith("\n"), "a PAX record ends with a newline");
    const equals = record.indexOf("=");
    records.set(record.slice(0, equals), record.slice(equals + 1, -1));
    at += length;
  }
  return records;
}

function checkChecksum(block: Buffer): void {
  const copy = Buffer.from(block).fill(0x20, 148, 156);
  assert.equal(
    octal(block, 148, 7),
    copy.reduce((sum, byte) => sum + byte, 0),
    "a header's checksum",
  );
}

function text(block: Buffer, at: number, bytes: number): string {
  const field = block.toString("latin1", at, at + bytes);
  const end = field.indexOf("\0");
  return end < 0 ? field : field.slice(0, end);
}

function octal(block: Buffer, at: number, bytes: number): number {
  const digits = text(block, at, bytes).trim();
  assert.match(digits, /^[0-7]+$/);
  return Number.parseInt(digits, 8);
}
