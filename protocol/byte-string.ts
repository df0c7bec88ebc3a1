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

/** The path of `name` in the directory at `parent`, which begins with `/`. */
export const joinPath = (parent: ByteString, name: ByteString): ByteString =>
  `${parent === "/" ? "" : parent}/${name}` as ByteString;

/** Controls, unassigned and private characters; spaces but the plain one; and what fonts show as nothing or as a space. */
const UNSEEN = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;
const PRINTABLE_ASCII = /^[\x20-\x5b\x5d-\x7e]*$/;

/**
 * What a person sees: UTF-8 where it is valid and printable, and `\xNN` for every other byte (`\\` for a backslash),
 * so that no name can move a terminal's cursor or hide text by its direction. Different names are shown as different texts
 * without invisible characters; letters of different scripts may still look alike. Spec: docs/specs/identifiers.md.
 */
export function displayName(value: ByteString): string {
  if (PRINTABLE_ASCII.test(value)) return value;
  const bytes = byteStringToBytes(value);
  let shown = "";
  for (let at = 0, end = 0; at < bytes.length; at = end) {
    const character = characterAt(bytes, at);
    end = at + (character === undefined ? 1 : Buffer.byteLength(character));
    if (character === "\\") shown += "\\\\";
    else if (character !== undefined && (character === " " || !UNSEEN.test(character))) shown += character;
    else for (const byte of bytes.subarray(at, end)) shown += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return shown;
}

/** The character whose UTF-8 sequence begins at `at`; undefined when none does. */
function characterAt(bytes: Buffer, at: number): string | undefined {
  const end = at + sequenceLength(bytes[at]!);
  const character = bytes.toString("utf8", at, end);
  return end > at && Buffer.from(character).equals(bytes.subarray(at, end)) ? character : undefined;
}

/** Bytes of the UTF-8 sequence that `first` opens, 0 when it opens none. */
function sequenceLength(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}
