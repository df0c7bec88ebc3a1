/**
 * Headers of tar archives: ustar blocks (POSIX.1-2024, pax, "ustar Interchange Format") and before them, where a value does
 * not fit, a block of PAX records. Which keywords are written, and why, is in docs/specs/export.md.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import { isAscii, isUtf8 } from "node:buffer";

export const TAR_BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const LINK_NAME_BYTES = 100;
const OWNER_NAME_BYTES = 31;
const NS_PER_SECOND = 1_000_000_000n;

export const tarTypes = {
  file: "0",
  hardLink: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
  paxHeader: "x",
} as const;

export interface TarHeader {
  /** The whole path; a directory's ends with `/`. */
  readonly path: ByteString;
  readonly type: (typeof tarTypes)[keyof typeof tarTypes];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly mtimeNs: bigint;
  /** Bytes of data that follow, without padding. */
  readonly dataBytes: number;
  readonly linkPath?: ByteString | undefined;
  readonly device?: { readonly major: number; readonly minor: number } | undefined;
  /** Further PAX records, written as they are. */
  readonly records?: readonly PaxRecord[] | undefined;
}

export interface PaxRecord {
  readonly keyword: string | Uint8Array;
  readonly value: string | Uint8Array;
}

/** Zeros that fill the last block of `bytes` bytes of data. */
export function tarPadding(bytes: number): Buffer {
  return Buffer.alloc((TAR_BLOCK_BYTES - (bytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES);
}

/** `<length> <keyword>=<value>\n`, where the length counts its own digits. */
export function encodePaxRecord({ keyword, value }: PaxRecord): Buffer {
  const keywordBytes = Buffer.from(keyword as string);
  const valueBytes = Buffer.from(value as string);
  const bytesWithoutLength = keywordBytes.length + valueBytes.length + 3;
  let length = bytesWithoutLength + 1;
  while (bytesWithoutLength + String(length).length !== length) length = bytesWithoutLength + String(length).length;
  return Buffer.concat([Buffer.from(`${length} `), keywordBytes, Buffer.from("="), valueBytes, Buffer.from("\n")]);
}

/** Seconds with as many decimals as are needed; the sign holds for the whole number. */
export function formatPaxTime(timeNs: bigint): string {
  const magnitude = timeNs < 0n ? -timeNs : timeNs;
  const fraction = String(magnitude % NS_PER_SECOND)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${timeNs < 0n ? "-" : ""}${magnitude / NS_PER_SECOND}${fraction ? `.${fraction}` : ""}`;
}

/** The header of one entry, with the PAX header before it when one is needed. */
export function encodeTarHeader(header: TarHeader): Buffer {
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  const records: PaxRecord[] = [];
  const need = (keyword: string, value: string | Uint8Array): void => void records.push({ keyword, value });

  const path = Buffer.from(header.path, "latin1");
  path.copy(block, 0, 0, NAME_BYTES);
  if (path.length > NAME_BYTES || !isAsciiText(header.path)) need("path", path);
  writeOctal(block, 100, 8, header.mode);
  if (!writeOctal(block, 108, 8, header.uid)) need("uid", String(header.uid));
  if (!writeOctal(block, 116, 8, header.gid)) need("gid", String(header.gid));
  if (!writeOctal(block, 124, 12, header.dataBytes)) need("size", String(header.dataBytes));
  const wholeSeconds = header.mtimeNs % NS_PER_SECOND === 0n;
  const seconds = Number(header.mtimeNs / NS_PER_SECOND);
  if (!writeOctal(block, 136, 12, seconds) || !wholeSeconds) need("mtime", formatPaxTime(header.mtimeNs));
  block.write(header.type, 156, "latin1");
  const linkPath = Buffer.from(header.linkPath ?? "", "latin1");
  linkPath.copy(block, 157, 0, LINK_NAME_BYTES);
  if (linkPath.length > LINK_NAME_BYTES || !isAsciiText(header.linkPath ?? "")) need("linkpath", linkPath);
  block.write("ustar\x0000", 257, "latin1");
  if (!writeOwner(block, 265, header.user ?? "")) need("uname", header.user ?? "");
  if (!writeOwner(block, 297, header.group ?? "")) need("gname", header.group ?? "");
  if (header.device) {
    if (!writeOctal(block, 329, 8, header.device.major)) need("SCHILY.devmajor", String(header.device.major));
    if (!writeOctal(block, 337, 8, header.device.minor)) need("SCHILY.devminor", String(header.device.minor));
  }
  writeChecksum(block);

  records.push(...(header.records ?? []));
  if (records.length === 0) return block;
  // Readers take names as UTF-8 unless told; only then, since GNU tar warns about this keyword, which it does not know.
  if (!isUtf8(path) || !isUtf8(linkPath)) records.unshift({ keyword: "hdrcharset", value: "BINARY" });
  const body = Buffer.concat(records.map(encodePaxRecord));
  return Buffer.concat([encodePaxBlock(body.length), body, tarPadding(body.length), block]);
}

function encodePaxBlock(dataBytes: number): Buffer {
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  block.write("PaxHeaders/entry", 0, "latin1");
  writeOctal(block, 100, 8, 0o644);
  writeOctal(block, 108, 8, 0);
  writeOctal(block, 116, 8, 0);
  writeOctal(block, 124, 12, dataBytes);
  writeOctal(block, 136, 12, 0);
  block.write(tarTypes.paxHeader, 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  writeChecksum(block);
  return block;
}

/** Octal digits and a NUL in `fieldBytes`; writes zeros and gives false for what does not fit. */
function writeOctal(block: Buffer, at: number, fieldBytes: number, value: number): boolean {
  const fits = value >= 0 && value < 8 ** (fieldBytes - 1);
  block.write((fits ? value : 0).toString(8).padStart(fieldBytes - 1, "0"), at, "latin1");
  return fits;
}

const isAsciiText = (text: string): boolean => isAscii(Buffer.from(text, "utf8"));

function writeOwner(block: Buffer, at: number, name: string): boolean {
  if (name.length > OWNER_NAME_BYTES || !isAsciiText(name)) return false;
  block.write(name, at, "latin1");
  return true;
}

/** The sum of the block's bytes with the checksum's own field taken as spaces: six octal digits, NUL, space. */
function writeChecksum(block: Buffer): void {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
