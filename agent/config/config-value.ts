/** Parsers of single values of the configuration. Each returns the value, or throws {@link WrongValue} with the reason. */
import { X509Certificate } from "node:crypto";
import { type ByteString, byteStringFromBytes, byteStringFromText, byteStringToBytes } from "#protocol/byte-string.ts";
import { parseSiteAddress, type SiteAddress } from "#agent/site-client/site-address.ts";
import { parseDuration, parseRate } from "./rate.ts";
import { parseSecret, type SecretKind } from "./secret-text.ts";

/** The reason why a value is wrong, as the rest of the sentence "<field> …". */
export class WrongValue extends Error {
  /** Index of the wrong item, when the value is a list. */
  readonly index: number | undefined;
  constructor(reason: string, index?: number) {
    super(reason);
    this.index = index;
  }
}

export type ParseValue<T> = (value: unknown) => T;

const shown = (value: unknown): string => {
  const text = value instanceof Uint8Array ? "bytes" : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
};

export const text: ParseValue<string> = (value) => {
  // oxlint-disable-next-line no-control-regex
  if (typeof value === "string" && value !== "" && !/[\x00-\x1f\x7f-\x9f]/.test(value)) return value;
  throw new WrongValue(`is ${shown(value)}, where one line of text is expected`);
};

export const yesOrNo: ParseValue<boolean> = (value) => {
  if (typeof value === "boolean") return value;
  throw new WrongValue(`is ${shown(value)}, where true or false is expected`);
};

export const wholeNumber =
  (least: number, most: number): ParseValue<number> =>
  (value) => {
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    throw new WrongValue(`is ${shown(value)}, where a whole number from ${least} to ${most} is expected`);
  };

/** Below this the largest prime would take a site longer than it waits for a request. */
const LEAST_BYTES_PER_SECOND = 16 * 1024;

/** Bytes per second. */
export const rate: ParseValue<number> = (value) => {
  const parsed =
    typeof value === "number" && Number.isInteger(value)
      ? value
      : typeof value === "string"
        ? parseRate(value)
        : undefined;
  if (parsed === undefined) throw new WrongValue(`is ${shown(value)}, which is not a rate`);
  if (parsed < LEAST_BYTES_PER_SECOND) throw new WrongValue(`is ${shown(value)}, which is less than 16 KiB/s`);
  return parsed;
};

export const duration =
  (mostMs: number): ParseValue<number> =>
  (value) => {
    const parsed = typeof value === "string" ? parseDuration(value) : value === 0 ? 0 : undefined;
    if (parsed === undefined)
      throw new WrongValue(`is ${shown(value)}, which is not a length of time in s, min, h or d`);
    if (parsed > mostMs) throw new WrongValue(`is ${shown(value)}, which is more than ${mostMs / 3_600_000} h`);
    return parsed;
  };

/** Letters that base64 and hex mix up in a copy by hand are not guessed at: the form must be exact. */
export const matching =
  (pattern: RegExp, what: string): ParseValue<string> =>
  (value) => {
    if (typeof value === "string" && pattern.test(value)) return value;
    throw new WrongValue(`is ${shown(value)}, where ${what} is expected`);
  };

export const siteAddress: ParseValue<SiteAddress> = (value) => {
  const parsed = typeof value === "string" ? parseSiteAddress(value) : undefined;
  if (parsed) return parsed;
  throw new WrongValue(`is ${shown(value)}, which is not a host and a port`);
};

export const secret =
  (kind: SecretKind, lengthBytes?: number): ParseValue<Buffer> =>
  (value) => {
    const parsed = typeof value === "string" ? parseSecret(kind, value) : undefined;
    if (parsed && (lengthBytes === undefined || parsed.length === lengthBytes)) return parsed;
    throw new WrongValue("does not match its own check: a character was changed, lost or added since it was written");
  };

/** PEM of one certificate authority that signed itself; checked by its signature, so a changed bit is noticed. */
export const authorityCertificate: ParseValue<string> = (value) => {
  if (typeof value !== "string") throw new WrongValue("is not the PEM text of a certificate");
  try {
    const certificate = new X509Certificate(value);
    // As it is written, whatever spaces stand around it.
    if (certificate.verify(certificate.publicKey)) return certificate.toString();
  } catch {
    // Said below.
  }
  throw new WrongValue("is not the PEM text of a certificate that signed itself, or a character of it was changed");
};

/** An absolute path in normal form, as bytes: text, or `!!binary` base64 for one that is not UTF-8. */
export const absolutePath: ParseValue<ByteString> = (value) => {
  if (typeof value !== "string" && !(value instanceof Uint8Array)) {
    throw new WrongValue(`is ${shown(value)}, where an absolute path is expected`);
  }
  const path = typeof value === "string" ? byteStringFromText(value) : byteStringFromBytes(value);
  if (!path.startsWith("/")) throw new WrongValue(`is ${shown(value)}, which does not start with /`);
  if (path.includes("\0")) throw new WrongValue("holds a NUL byte");
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw new WrongValue(`is ${shown(value)}, which holds ..`);
  return `/${names.join("/")}` as ByteString;
};

/** An absolute path in normal form that is text. */
export const absoluteTextPath: ParseValue<string> = (value) =>
  byteStringToBytes(absolutePath(text(value))).toString("utf8");

/** One line in the syntax of a .gitignore file. */
export const pattern: ParseValue<string> = (value) => {
  if (typeof value !== "string") throw new WrongValue(`is ${shown(value)}, where a pattern in quotes is expected`);
  if (value.trim() === "" || /[\r\n\0]/.test(value))
    throw new WrongValue(`is ${shown(value)}, where one pattern of one line is expected`);
  if (value.length > 4096) throw new WrongValue("is longer than 4096 characters");
  return value;
};

export const listOf =
  <T>(item: ParseValue<T>, leastCount: number, mostCount: number): ParseValue<T[]> =>
  (value) => {
    if (!Array.isArray(value)) throw new WrongValue(`is ${shown(value)}, where a list is expected`);
    if (value.length < leastCount) throw new WrongValue("is an empty list");
    if (value.length > mostCount) throw new WrongValue(`has ${value.length} items; ${mostCount} are the most`);
    return value.map((entry, index) => {
      try {
        return item(entry);
      } catch (error) {
        throw error instanceof WrongValue ? new WrongValue(error.message, index) : error;
      }
    });
  };
