/**
 * Compression of a prime's plaintext. What a codec writes is never relied on: the payload is hashed as it came out, so another
 * version of a compressor costs deduplication, never safety. docs/specs/sealing.md
 */
import { compressSync, uncompressSync } from "lz4-napi";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

const CODEC_NONE = 0;
/** Plain length (u32 LE) ‖ one LZ4 block. */
const CODEC_LZ4 = 1;
/** One zstd frame. */
const CODEC_ZSTD = 2;

/** Below this a call to zstd costs more than LZ4's worse ratio. */
const LZ4_BELOW_BYTES = 32 * 1024;
const LZ4_PREFIX_BYTES = 4;
/** The largest window of a frame that is opened, 2^22 = 4 MiB = a prime: a frame cannot make its reader take more memory. */
const WINDOW_LOG = 22;
const ZSTD_LEVEL = 2;
const compressParams = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL, [constants.ZSTD_c_checksumFlag]: 0 };
const expandParams = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG };

/** From here on a sample is looked at before zstd is called. */
const PROBE_FROM_BYTES = 64 * 1024;
const SAMPLE_COUNT = 16;
const SAMPLE_BYTES = 1024;
/** The sample of incompressible content: LZ4 saves less than 0.5 % of it. */
const INCOMPRESSIBLE_LZ4_BYTES = SAMPLE_COUNT * SAMPLE_BYTES * 0.995;
/** And its bytes are as frequent as chance has them: chi-squared is about 255 for random bytes, and 1000 still means less than 0.3 % to save. */
const INCOMPRESSIBLE_CHI_SQUARED = 1000;
const sample = Buffer.alloc(SAMPLE_COUNT * SAMPLE_BYTES);
const frequencies = new Uint32Array(256);

/** `plain` by the codec that suits it; `bytes` is `plain` itself where nothing is saved. */
export function compressPlain(plain: Uint8Array): { codec: number; bytes: Uint8Array } {
  const isSmall = plain.length < LZ4_BELOW_BYTES;
  if (plain.length >= PROBE_FROM_BYTES && seemsIncompressible(plain)) return { codec: CODEC_NONE, bytes: plain };
  const bytes = isSmall
    ? compressSync(asBuffer(plain))
    : zstdCompressSync(plain, { chunkSize: outputGuessBytes(plain), params: compressParams });
  return bytes.length < plain.length
    ? { codec: isSmall ? CODEC_LZ4 : CODEC_ZSTD, bytes }
    : { codec: CODEC_NONE, bytes: plain };
}

/** The buffer that zstd is given first; another one of the same size follows when it is full. */
const outputGuessBytes = (plain: Uint8Array): number => Math.max(64 * 1024, plain.length >>> 1);

/** Whether a sample from all over `plain` looks like media or an archive. It spares them most of zstd's time, a fifth of sealing them. */
function seemsIncompressible(plain: Uint8Array): boolean {
  const stride = Math.floor((plain.length - SAMPLE_BYTES) / (SAMPLE_COUNT - 1));
  for (let index = 0; index < SAMPLE_COUNT; index++)
    sample.set(plain.subarray(index * stride, index * stride + SAMPLE_BYTES), index * SAMPLE_BYTES);
  if (compressSync(sample).length < INCOMPRESSIBLE_LZ4_BYTES) return false;
  frequencies.fill(0);
  for (let at = 0; at < sample.length; at++) frequencies[sample[at]!]!++;
  let squares = 0;
  for (let byte = 0; byte < frequencies.length; byte++) squares += frequencies[byte]! ** 2;
  return (squares * frequencies.length) / sample.length - sample.length < INCOMPRESSIBLE_CHI_SQUARED;
}

/** Undoes {@link compressPlain}; throws an Error unless exactly `lengthBytes` come out of all of `bytes`. Never takes much more memory than that. */
export function expandPlain(codec: number, bytes: Buffer, lengthBytes: number): Buffer {
  const plain = expand(codec, bytes, lengthBytes);
  if (plain.length !== lengthBytes) throw new Error(`the content has ${plain.length} bytes, not ${lengthBytes}`);
  return plain;
}

function expand(codec: number, bytes: Buffer, lengthBytes: number): Buffer {
  switch (codec) {
    case CODEC_NONE:
      return bytes;
    case CODEC_LZ4:
      if (bytes.length <= LZ4_PREFIX_BYTES || bytes.readUInt32LE(0) !== lengthBytes)
        throw new Error(`the LZ4 length is not ${lengthBytes}`);
      return uncompressSync(bytes);
    case CODEC_ZSTD:
      return expandZstd(bytes, lengthBytes);
    default:
      throw new Error(`codec ${codec} is unknown`);
  }
}

function expandZstd(bytes: Buffer, lengthBytes: number): Buffer {
  // One byte of room more than the content: the decoder then never asks for a second buffer.
  const options = {
    chunkSize: Math.max(lengthBytes + 1, 64),
    maxOutputLength: Math.max(lengthBytes, 1),
    params: expandParams,
    info: true,
  };
  const { buffer, engine } = zstdDecompressSync(bytes, options) as unknown as {
    buffer: Buffer;
    engine: { bytesWritten: number };
  };
  if (engine.bytesWritten !== bytes.length) throw new Error("bytes follow the zstd frame");
  return buffer;
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
