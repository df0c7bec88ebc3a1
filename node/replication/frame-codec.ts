/**
 * What frames of replication look like. docs/specs/replication.md, Frames.
 *
 * A message is a canonical CBOR map, whose first byte is below 0xff and above 0; a large one is compressed behind a 0 byte. A
 * batch (protocol/batch.ts) stands behind a byte 0xff as it is: its bytes are never copied to be read.
 */
import { compressSync, uncompressSync } from "lz4-napi";
import * as v from "valibot";
import { optionFor } from "#ledger/message-schema.ts";
import { type StoredPrime, batchEntry } from "#protocol/batch.ts";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

const COMPRESSED = 0x00;
const BATCH = 0xff;
const COMPRESSED_FROM_BYTES = 1024;
/** The plain length (u32 LE) stands before the LZ4 block. */
const LENGTH_BYTES = 4;

/** Throws `limit-exceeded`. */
export function encodeMessage(message: CborMap): Buffer {
  const plain = encodeCbor(message);
  requireLength(plain.length);
  if (plain.length <= COMPRESSED_FROM_BYTES) return plain;
  const compressed = compressSync(plain);
  return compressed.length + 1 < plain.length ? Buffer.concat([Buffer.of(COMPRESSED), compressed]) : plain;
}

export const isBatch = (frame: Uint8Array): boolean => frame[0] === BATCH;

/** The batch in a frame that is one: a view. */
export const batchOf = (frame: Uint8Array): Uint8Array => frame.subarray(1);

/** The pieces of a batch's frame. */
export const batchPieces = (primes: readonly StoredPrime[]): Uint8Array[] => [
  Buffer.of(BATCH),
  ...primes.flatMap(batchEntry),
];

export const encodeBatch = (primes: readonly StoredPrime[]): Buffer => Buffer.concat(batchPieces(primes));

/** Reads a message by its schema. Throws `bad-encoding`, `limit-exceeded` for what no honest peer sends. */
export function decodeMessage<Schema extends v.GenericSchema>(
  frame: Uint8Array,
  schema: Schema,
): v.InferOutput<Schema> {
  const value = decodeCbor(frame[0] === COMPRESSED ? expand(frame.subarray(1)) : frame);
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw new CostorError("bad-encoding", "a message is a map");
  const plain = { ...(value as object) };
  const parsed = v.safeParse(optionFor(schema, plain), plain);
  if (!parsed.success) throw new CostorError("bad-encoding", `not a message: ${parsed.issues[0].message}`);
  return parsed.output;
}

function expand(compressed: Uint8Array): Uint8Array {
  const bytes = Buffer.from(compressed.buffer, compressed.byteOffset, compressed.length);
  if (bytes.length < LENGTH_BYTES) throw new CostorError("bad-encoding", "a compressed message is cut short");
  const lengthBytes = bytes.readUInt32LE(0);
  // Before anything is expanded: a small frame must not become a large one.
  requireLength(lengthBytes);
  let plain: Buffer;
  try {
    plain = uncompressSync(bytes);
  } catch (cause) {
    throw new CostorError("bad-encoding", "a compressed message is damaged", { cause });
  }
  if (plain.length !== lengthBytes) throw new CostorError("bad-encoding", "a compressed message has another length");
  return plain;
}

function requireLength(lengthBytes: number): void {
  if (lengthBytes > limits.replicateMessageBytes)
    throw new CostorError(
      "limit-exceeded",
      `a message has ${lengthBytes} bytes; at most ${limits.replicateMessageBytes}`,
    );
}
