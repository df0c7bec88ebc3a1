/**
 * Sealing: compress, then encrypt under a key made from exactly the bytes that are encrypted. docs/specs/sealing.md
 *
 * Invariants: one key never sees two payloads, because it is an HMAC of the payload; whoever holds stored bytes can check
 * them by their id without any key; opening needs a reference only, and trusts nothing but the reference.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hash as hashOnce,
} from "node:crypto";
import { compressPlain, expandPlain } from "./compression.ts";
import { CostorError } from "./errors.ts";
import { freeBuffer } from "./freed-buffer.ts";
import type { PrimeId } from "./ids.ts";
import { limits } from "./limits.ts";
import type { Scope } from "./scope.ts";

/** What a prime holds; bound to its ciphertext, so that bytes sealed as one kind never open as the other. */
export type PrimeKind = "content" | "tree";

/** Everything that is needed to open a prime, and all that is trusted about it. */
export interface PrimeReference {
  readonly id: PrimeId;
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** Length of the plaintext. */
  readonly lengthBytes: number;
}

const VERSION = 1;
const KIND_BYTE = { content: 1, tree: 2 } as const satisfies Record<PrimeKind, number>;
const AAD = { content: Buffer.of(VERSION, KIND_BYTE.content), tree: Buffer.of(VERSION, KIND_BYTE.tree) };
const NONCE = Buffer.alloc(12);
const TAG_BYTES = 16;
const KEY_BYTES = 32;
/** Version, codec, a varint of one byte, tag. */
const STORED_MIN_BYTES = 1 + 1 + 1 + TAG_BYTES;
/** Ciphertext comes out of the cipher in pieces of this size, which stay in the processor's cache on their way. */
const PIECE_BYTES = 128 * 1024;
const ZEROS = Buffer.alloc(PIECE_BYTES);

/**
 * Seals `plain` under a scope: equal content of a kind becomes equal primes. The stored bytes own their ArrayBuffer and may be
 * transferred to another thread. Throws `limit-exceeded` for more plaintext than a prime holds.
 *
 * @param padToBytes least length of the payload, for content with neighbours that an attacker may know
 */
export function sealPrime(
  plain: Uint8Array,
  kind: PrimeKind,
  scope: Scope,
  padToBytes = 0,
): { reference: PrimeReference; stored: Buffer } {
  if (plain.length > limits.primePlainBytes) {
    throw new CostorError(
      "limit-exceeded",
      `a prime holds at most ${limits.primePlainBytes} bytes, not ${plain.length}`,
    );
  }
  const { codec, bytes } = compressPlain(plain);
  const header = encodeHeader(codec, bytes.length);
  const unpaddedBytes = header.length + bytes.length;
  const payloadBytes = paddedLength(Math.max(unpaddedBytes, padToBytes));
  const paddingBytes = payloadBytes - unpaddedBytes;

  const keyed = createHmac("sha256", scope.convergence).update(header).update(bytes);
  forEachZeros(paddingBytes, (zeros) => keyed.update(zeros));
  const key = keyed.digest();

  const stored = Buffer.allocUnsafeSlow(1 + payloadBytes + TAG_BYTES);
  stored[0] = VERSION;
  const cipher = createCipheriv("aes-256-gcm", createSecretKey(key), NONCE).setAAD(AAD[kind]);
  let at = 1;
  const append = (piece: Uint8Array): void => {
    const sealed = cipher.update(piece);
    stored.set(sealed, at);
    at += piece.length;
    freeBuffer(sealed);
  };
  append(header);
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) append(bytes.subarray(from, from + PIECE_BYTES));
  forEachZeros(paddingBytes, append);
  cipher.final();
  stored.set(cipher.getAuthTag(), at);
  if (bytes.buffer !== plain.buffer) freeBuffer(bytes);
  return { reference: { id: primeIdOf(stored), key, lengthBytes: plain.length }, stored };
}

/**
 * The plaintext of a prime. Checks everything: id, tag, version, codec, lengths and padding. Throws `prime-corrupt` with what
 * is wrong in `details.failed`.
 *
 * @param isVerified this machine has compared the bytes with the id since they came to it; the rest is checked all the same
 */
export function openPrime(
  stored: Uint8Array,
  reference: PrimeReference,
  kind: PrimeKind,
  { isVerified = false }: { readonly isVerified?: boolean } = {},
): Buffer {
  const { lengthBytes } = reference;
  const check = (holds: boolean, failed: string, message: string): void => {
    if (!holds) throw corrupt(reference.id, failed, message);
  };
  check(
    Number.isSafeInteger(lengthBytes) && lengthBytes >= 0 && lengthBytes <= limits.primePlainBytes,
    "reference",
    "the reference's length is no prime's",
  );
  check(reference.key.length === KEY_BYTES, "reference", "the reference's key has not 32 bytes");
  check(
    stored.length >= STORED_MIN_BYTES && stored.length <= limits.primeStoredBytes,
    "length",
    `${stored.length} bytes are no prime's length`,
  );
  check(isVerified || primeIdOf(stored) === reference.id, "id", "the bytes do not have the prime's id");
  check(stored[0] === VERSION, "version", `version ${stored[0]} is unknown`);

  const payload = decrypt(stored, reference, kind);
  const { value: compressedBytes, end: start } = decodeVarint(payload, 1, reference.id);
  const end = start + compressedBytes;
  check(end <= payload.length, "length", "the compressed length is more than the payload holds");
  check(isZero(payload, end), "padding", "the padding is not zero");
  try {
    const plain = expandPlain(payload[0]!, payload.subarray(start, end), lengthBytes);
    if (plain.buffer !== payload.buffer) freeBuffer(payload);
    return plain;
  } catch (cause) {
    throw corrupt(
      reference.id,
      "compression",
      cause instanceof Error ? cause.message : "the content cannot be expanded",
      cause,
    );
  }
}

export function primeIdOf(stored: Uint8Array): PrimeId {
  return (
    stored.length < PIECE_BYTES ? hashOnce("sha256", stored, "hex") : createHash("sha256").update(stored).digest("hex")
  ) as PrimeId;
}

/** Throws `prime-mismatch` unless `stored` has the id `id`. */
export function verifyPrime(stored: Uint8Array, id: PrimeId): void {
  const found = primeIdOf(stored);
  if (found !== id)
    throw new CostorError("prime-mismatch", `prime ${id} has the bytes of ${found}`, {
      details: { expected: id, found },
    });
}

/**
 * Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019): the least length
 * that is at least `lengthBytes` and has as few significant bits as log2(log2(length)) allows. At most 12 % more, and far
 * fewer distinct lengths.
 */
export function paddedLength(lengthBytes: number): number {
  if (lengthBytes < 2) return lengthBytes;
  const exponent = 31 - Math.clz32(lengthBytes);
  const significantBits = 32 - Math.clz32(exponent);
  const unit = 2 ** (exponent - significantBits);
  return unit <= 1 ? lengthBytes : Math.ceil(lengthBytes / unit) * unit;
}

function decrypt(stored: Uint8Array, reference: PrimeReference, kind: PrimeKind): Buffer {
  const tagAt = stored.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", createSecretKey(reference.key), NONCE, {
    authTagLength: TAG_BYTES,
  }).setAAD(AAD[kind]);
  decipher.setAuthTag(stored.subarray(tagAt));
  const payload = decipher.update(stored.subarray(1, tagAt));
  try {
    decipher.final();
  } catch (cause) {
    throw corrupt(reference.id, "tag", `the bytes were not sealed as ${kind} under this key`, cause);
  }
  return payload;
}

/** Codec byte and the compressed length as an unsigned LEB128 varint. */
function encodeHeader(codec: number, compressedBytes: number): Buffer {
  const bytes = [codec];
  let rest = compressedBytes;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Canonical unsigned LEB128 of at most 28 bits: more than a payload can have. */
function decodeVarint(bytes: Uint8Array, start: number, id: PrimeId): { value: number; end: number } {
  let value = 0;
  for (let index = 0; index < 4 && start + index < bytes.length; index++) {
    const byte = bytes[start + index]!;
    value |= (byte & 0x7f) << (7 * index);
    if (byte >= 0x80) continue;
    if (byte === 0 && index > 0) break;
    return { value, end: start + index + 1 };
  }
  throw corrupt(id, "length", "the compressed length is not a canonical varint");
}

function isZero(bytes: Buffer, start: number): boolean {
  for (let at = start; at < bytes.length; at += PIECE_BYTES) {
    const end = Math.min(at + PIECE_BYTES, bytes.length);
    if (bytes.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}

function forEachZeros(lengthBytes: number, use: (zeros: Uint8Array) => void): void {
  for (let rest = lengthBytes; rest > 0; rest -= PIECE_BYTES) use(rest < PIECE_BYTES ? ZEROS.subarray(0, rest) : ZEROS);
}

const corrupt = (id: PrimeId, failed: string, message: string, cause?: unknown): CostorError =>
  new CostorError("prime-corrupt", `prime ${id}: ${message}`, { cause, details: { id, failed } });
