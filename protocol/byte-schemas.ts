/** Schemas of the bytes in what a recovery key signs, or members agree on: as a Buffer over the same memory, as hex digits, and as an id. */
import * as v from "valibot";

const HASH_BYTES = 32;

/** Of any length when it is left out. */
export const bytesOf = (lengthBytes?: number) =>
  v.pipe(
    v.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === (lengthBytes ?? value.length)),
    v.transform((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
  );

export const hexOf = (lengthBytes: number) =>
  v.pipe(
    bytesOf(lengthBytes),
    v.transform((bytes) => bytes.toString("hex")),
  );

/** 32 bytes, as what `read` makes of their hex digits; what it throws passes. */
export const idOf = <Id>(read: (hex: string) => Id) =>
  v.pipe(
    hexOf(HASH_BYTES),
    v.transform((hex) => read(hex)),
  );
