/**
 * Looks for many secrets in any bytes at once, in each form in which they may have got there: as they are, in hex, in base64 at each of the
 * three places in a group, and all of that inside what is compressed by zlib or gzip. What LZ4 and Snappy compress has text that comes for the first
 * time as it is: secrets are drawn at random, so that no part of one is like another.
 */
import { randomBytes } from "node:crypto";
import { constants, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from "node:zlib";

export interface Found {
  readonly name: string;
  readonly form: string;
  readonly at: number;
}

interface Form {
  readonly name: string;
  readonly form: string;
  readonly bytes: Buffer;
}

const ANCHOR_BYTES = 4;
const FILTER_BITS = 20;
const MULTIPLIER = 0x9e3779b1;
/** Shorter ones would be found by chance. */
const LEAST_BYTES = 9;
const INFLATED_BYTES = 16 * 1024 * 1024;
const INFLATED_DEPTH = 2;
const GZIP_HEAD_BYTES = 10;
/** As its bytes come: RFC 8878, 3.1.1. */
const ZSTD_MAGIC = 0x28b52ffd;
/** What follows 0x78 at the head of a zlib stream. */
const zlibSeconds = new Set([0x01, 0x5e, 0x9c, 0xda]);

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** A secret that may be a file's name: 20 letters and digits. */
export const randomMarker = (): string => [...randomBytes(20)].map((byte) => letters[byte % letters.length]).join("");

export class SecretSearch {
  readonly #byAnchor = new Map<number, Form[]>();
  readonly #filter = new Uint8Array(1 << FILTER_BITS);
  /** How much was looked at, with what was inflated. */
  searchedBytes = 0;

  /** Secrets by a name that tells what they are. */
  constructor(secrets: ReadonlyMap<string, Uint8Array>) {
    for (const [name, secret] of secrets) {
      const forms = new Map(formsOf(Buffer.from(secret)).map((form) => [form.bytes.toString("latin1"), form]));
      for (const { form, bytes } of forms.values()) this.#add({ name, form, bytes });
    }
  }

  #add(form: Form): void {
    if (form.bytes.length < LEAST_BYTES) throw new Error(`${form.name} is too short to be looked for`);
    const anchor = form.bytes.readUInt32BE(0);
    const others = this.#byAnchor.get(anchor);
    if (others === undefined) this.#byAnchor.set(anchor, [form]);
    else others.push(form);
    this.#filter[slotOf(anchor)] = 1;
  }

  search(bytes: Buffer, depth = 0): Found[] {
    this.searchedBytes += bytes.length;
    const found: Found[] = [];
    const filter = this.#filter;
    let last = 0;
    for (let at = 0; at < bytes.length; at++) {
      last = ((last << 8) | bytes[at]!) >>> 0;
      if (filter[slotOf(last)] === 1 && at >= ANCHOR_BYTES - 1)
        for (const { name, form, bytes: wanted } of this.#byAnchor.get(last) ?? []) {
          const start = at - ANCHOR_BYTES + 1;
          if (bytes.subarray(start, start + wanted.length).equals(wanted))
            found.push({ name, form: depth === 0 ? form : `${form}, inflated`, at: start });
        }
      if (depth < INFLATED_DEPTH && isCompressedHead(last)) {
        const inflated = inflatedAt(bytes, last, at);
        if (inflated !== undefined) found.push(...this.search(inflated, depth + 1));
      }
    }
    return found;
  }
}

const slotOf = (anchor: number): number => Math.imul(anchor, MULTIPLIER) >>> (32 - FILTER_BITS);

/** Whether the last bytes begin what zlib, gzip or zstd made. */
const isCompressedHead = (last: number): boolean =>
  last === ZSTD_MAGIC ||
  (((last >>> 8) & 0xff) === 0x78 && zlibSeconds.has(last & 0xff)) ||
  (last & 0xffffff) === 0x1f8b08;

function inflatedAt(bytes: Buffer, last: number, at: number): Buffer | undefined {
  if (last === ZSTD_MAGIC) return zstdExpanded(bytes.subarray(at - 3, at + INFLATED_BYTES));
  const isGzip = (last & 0xffffff) === 0x1f8b08;
  const from = bytes.subarray(at - (isGzip ? 2 : 1), at + INFLATED_BYTES);
  try {
    // What is cut off is given as far as it goes.
    const options = { finishFlush: 2, maxOutputLength: INFLATED_BYTES };
    if (!isGzip) return inflateSync(from, options);
    // Without a name, as most are: what follows its end does no harm so.
    return from[3] === 0 ? inflateRawSync(from.subarray(GZIP_HEAD_BYTES), options) : gunzipSync(from, options);
  } catch {
    return undefined;
  }
}

/** One frame; what follows it does no harm, and of one that is cut off as much is given as there is. */
function zstdExpanded(from: Buffer): Buffer | undefined {
  try {
    return zstdDecompressSync(from, { finishFlush: constants.ZSTD_e_continue, maxOutputLength: INFLATED_BYTES });
  } catch {
    return undefined;
  }
}

function formsOf(secret: Buffer): Omit<Form, "name">[] {
  const hex = secret.toString("hex");
  return [
    { form: "as it is", bytes: secret },
    { form: "hex", bytes: Buffer.from(hex) },
    { form: "hex", bytes: Buffer.from(hex.toUpperCase()) },
    ...[0, 1, 2].flatMap((shift) => {
      const text = base64At(secret, shift);
      const urlText = text.replaceAll("+", "-").replaceAll("/", "_");
      return [
        { form: "base64", bytes: Buffer.from(text) },
        { form: "base64url", bytes: Buffer.from(urlText) },
      ];
    }),
  ];
}

/** The characters that are the secret's alone, when `shift` bytes of its group come before it. */
function base64At(secret: Buffer, shift: number): string {
  const text = Buffer.concat([Buffer.alloc(shift), secret]).toString("base64");
  const wholeCount = Math.floor(((shift + secret.length) * 8) / 6);
  return text.slice(Math.ceil((shift * 8) / 6), wholeCount);
}
