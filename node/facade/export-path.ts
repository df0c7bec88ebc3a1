/** The `path` of an export: bytes, percent-encoded, since names need not be UTF-8. And names of downloads for browsers. */
import { type ByteString, byteStringToBytes } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";

/**
 * The names of the `path` parameter in a request's target; none when it is missing, empty or `/`. As in forms, `+` is a
 * space. Throws `bad-request` for broken escapes, for NUL, and for `.` and `..`, which no snapshot holds.
 */
export function parseExportPath(target: string): ByteString[] {
  const queryAt = target.indexOf("?");
  const query = queryAt < 0 ? "" : target.slice(queryAt + 1);
  const values = query.split("&").filter((part) => part.startsWith("path="));
  if (values.length > 1) throw new CostorError("bad-request", "the parameter `path` is given twice");
  const names = decodeBytes((values[0] ?? "").slice("path=".length))
    .split("/")
    .filter((name) => name !== "");
  if (names.some((name) => name === "." || name === ".." || name.includes("\0"))) {
    throw new CostorError("bad-request", "a path in a snapshot has no `.`, `..` or NUL");
  }
  return names as ByteString[];
}

function decodeBytes(encoded: string): string {
  if (/%(?![0-9a-f]{2})/i.test(encoded))
    throw new CostorError("bad-request", "the parameter `path` is not percent-encoded");
  const utf8 = Buffer.from(encoded.replaceAll("+", " "), "utf8").toString("latin1");
  return utf8.replaceAll(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

/** `attachment` with the name in ASCII for old programs and in UTF-8 for the others (RFC 6266); nothing in it can break the header. */
export function contentDisposition(name: ByteString, extension: string): string {
  const text = byteStringToBytes(name).toString("utf8");
  const ascii = `${text}${extension}`.replaceAll(/[^\x20-\x7e]|["\\%/;]/g, "_");
  const encoded = encodeURIComponent(`${text}${extension}`).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`;
}
