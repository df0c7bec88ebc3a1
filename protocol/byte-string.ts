/**
 * File names and paths are bytes, not text: on Linux they need not be UTF-8. Inside CoStor they are *byte strings*:
 * JavaScript strings with one character (0 to 255) a byte. They compare with `<` in byte order, work as Map keys, and
 * cost one byte a character.
 */
declare const brand: unique symbol;
export type ByteString = string & { readonly [brand]: "ByteString" };

/** The byte string of raw bytes. */
export function byteStringFromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1") as ByteString;
}

/** The byte string of a text, by its UTF-8 bytes. */
export const byteStringFromText = (text: string): ByteString =>
  Buffer.from(text, "utf8").toString("latin1") as ByteString;

export const byteStringToBytes = (value: ByteString): Buffer => Buffer.from(value, "latin1");

const PRINTABLE_ASCII = /^[\x20-\x5b\x5d-\x7e]*$/;

/**
 * What a person sees: UTF-8 where it is valid and printable, and `\xNN` for every other byte (`\\` for a backslash),
 * so that no name can move a terminal's cursor or hide text by its direction. Different names never look the same.
 */
export function displayName(value: ByteString): string {
  if (PRINTABLE_ASCII.test(value)) return value;
  const bytes = byteStringToBytes(value);
  let shown = "";
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes[at]!);
    const text = length > 0 ? bytes.toString("utf8", at, at + length) : "";
    const isWhole =
      text.length > 0 &&
      Buffer.byteLength(text) === length &&
      bytes.subarray(at, at + length).equals(Buffer.from(text));
    if (isWhole && text === "\\") shown += "\\\\";
    else if (isWhole && !/[\p{C}\p{Z}]/u.test(text.replace(/^ $/, "x"))) shown += text;
    else
      for (const byte of bytes.subarray(at, at + Math.max(length, 1)))
        shown += `\\x${byte.toString(16).padStart(2, "0")}`;
    at += Math.max(length, 1);
  }
  return shown;
}

/** Bytes of the UTF-8 sequence that `first` opens, 0 when it opens none. */
function sequenceLength(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}
