/** The data of zip entries: small ones compressed in memory, large ones while they pass. */
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { crc32, createDeflateRaw, deflateRaw, deflateRawSync } from "node:zlib";
import { type ZipData, zipMethods } from "./zip-records.ts";

const LEVEL = 3;
const CHUNK_BYTES = 256 * 1024;
/** Below this, a trip to another thread costs more than compressing. */
const SYNCHRONOUS_BYTES = 8 * 1024;
/** A window as large as the data, so that a small file does not cost a quarter of a megabyte of tables. */
const SYNCHRONOUS_OPTIONS = { level: LEVEL, windowBits: 13, memLevel: 6 };
/** What is shorter does not shrink. */
const COMPRESSIBLE_BYTES = 32;
const SAMPLE_BYTES = 32 * 1024;
/** A sample that shrinks to less than this is worth compressing; media and archives are not. */
const WORTHWHILE_RATIO = 0.97;

const deflateAsync = promisify<Buffer, { level: number }, Buffer>(deflateRaw);

export interface PackedData {
  readonly data: ZipData;
  readonly bytes: Buffer;
}

/** Compresses what is wholly in memory; stores what does not shrink. */
export async function packWhole(plain: Buffer): Promise<PackedData> {
  const checksum = crc32(plain);
  const stored: PackedData = {
    data: { method: zipMethods.stored, hasDescriptor: false, crc32: checksum, packedBytes: plain.length },
    bytes: plain,
  };
  if (plain.length < COMPRESSIBLE_BYTES) return stored;
  const packed =
    plain.length <= SYNCHRONOUS_BYTES
      ? deflateRawSync(plain, SYNCHRONOUS_OPTIONS)
      : await deflateAsync(plain, { level: LEVEL });
  if (packed.length >= plain.length) return stored;
  return { data: { ...stored.data, method: zipMethods.deflated, packedBytes: packed.length }, bytes: packed };
}

/**
 * Compresses what passes, and gives what the descriptor needs. Data that does not shrink goes into deflate's own stored blocks:
 * unlike a stored entry, its end is found without knowing its length beforehand.
 */
export async function* packStream(plain: AsyncGenerator<Buffer, void, void>): AsyncGenerator<Buffer, ZipData, void> {
  const first = await plain.next();
  const sample = (first.value ?? Buffer.alloc(0)).subarray(0, SAMPLE_BYTES);
  const isWorthwhile = deflateRawSync(sample, { level: 1 }).length < sample.length * WORTHWHILE_RATIO;
  const deflate = createDeflateRaw({ level: isWorthwhile ? LEVEL : 0, chunkSize: CHUNK_BYTES });
  let checksum = 0;
  let packedBytes = 0;
  const counted = async function* (): AsyncGenerator<Buffer, void, void> {
    for (let next = first; !next.done; next = await plain.next()) {
      checksum = crc32(next.value, checksum);
      yield next.value;
    }
  };
  const feeding = pipeline(counted, deflate);
  // A failure reaches the consumer through `deflate`; one that leaves early is none.
  feeding.catch(() => undefined);
  for await (const piece of deflate as AsyncIterable<Buffer>) {
    packedBytes += piece.length;
    yield piece;
  }
  await feeding;
  return { method: zipMethods.deflated, hasDescriptor: true, crc32: checksum, packedBytes };
}
