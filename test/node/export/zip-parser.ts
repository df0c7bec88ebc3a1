/** Reads a whole zip by the letter of APPNOTE, with no code of the writer: from its end, checking both headers of each entry. */
import assert from "node:assert/strict";
import { crc32, inflateRawSync } from "node:zlib";

export interface ZipMember {
  /** One character a byte. */
  readonly name: string;
  readonly isUtf8: boolean;
  readonly unixMode: number;
  readonly plainBytes: number;
  /** Undefined when the caller wants no data. */
  readonly plain: Buffer | undefined;
  readonly mtimeSeconds: number | undefined;
}

export function parseZip(archive: Buffer, readsData = true): ZipMember[] {
  let { count, at } = findDirectory(archive);
  const members: ZipMember[] = [];
  for (; count > 0; count--) {
    assert.equal(archive.readUInt32LE(at), 0x02014b50, "a record of the central directory");
    const nameBytes = archive.readUInt16LE(at + 28);
    const extraBytes = archive.readUInt16LE(at + 30);
    const name = archive.toString("latin1", at + 46, at + 46 + nameBytes);
    const extras = parseExtras(archive.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes));
    const large = extras.get(1);
    let largeAt = 0;
    const number = (value: number): number => {
      if (value !== 0xffff_ffff) return value;
      largeAt += 8;
      return Number(large!.readBigUInt64LE(largeAt - 8));
    };
    const plainBytes = number(archive.readUInt32LE(at + 24));
    const packedBytes = number(archive.readUInt32LE(at + 20));
    const localAt = number(archive.readUInt32LE(at + 42));
    const checksum = archive.readUInt32LE(at + 16);
    const flags = archive.readUInt16LE(at + 8);
    const method = archive.readUInt16LE(at + 10);
    assert.equal(archive.readUInt32LE(localAt), 0x04034b50, "a local header");
    assert.equal(archive.readUInt16LE(localAt + 6), flags);
    assert.equal(archive.toString("latin1", localAt + 30, localAt + 30 + nameBytes), name);
    const dataAt = localAt + 30 + nameBytes + archive.readUInt16LE(localAt + 28);
    const packed = archive.subarray(dataAt, dataAt + packedBytes);
    let plain: Buffer | undefined;
    if (readsData) {
      plain = method === 0 ? packed : inflateRawSync(packed);
      assert.equal(plain.length, plainBytes);
      assert.equal(crc32(plain), checksum);
    }
    if (flags & 8) assert.equal(archive.readUInt32LE(dataAt + packedBytes), 0x08074b50, "a descriptor behind the data");
    members.push({
      name,
      isUtf8: (flags & 0x800) !== 0,
      unixMode: archive.readUInt16LE(at + 40),
      plainBytes,
      plain,
      mtimeSeconds: extras.get(0x5455)?.readInt32LE(1),
    });
    at += 46 + nameBytes + extraBytes;
  }
  return members;
}

function findDirectory(archive: Buffer): { count: number; at: number } {
  const end = archive.length - 22;
  assert.equal(archive.readUInt32LE(end), 0x06054b50, "the end of the archive");
  const locator = end - 20;
  if (locator >= 0 && archive.readUInt32LE(locator) === 0x07064b50) {
    const end64 = Number(archive.readBigUInt64LE(locator + 8));
    assert.equal(archive.readUInt32LE(end64), 0x06064b50, "the zip64 end of the archive");
    return { count: Number(archive.readBigUInt64LE(end64 + 32)), at: Number(archive.readBigUInt64LE(end64 + 48)) };
  }
  return { count: archive.readUInt16LE(end + 10), at: archive.readUInt32LE(end + 16) };
}

function parseExtras(bytes: Buffer): Map<number, Buffer> {
  const extras = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt16LE(at + 2);
    extras.set(bytes.readUInt16LE(at), bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return extras;
}
