/** How much of a bundle the last snapshot holds, as the agent's database keeps it: held bytes 48 bits, length u32, little-endian. */
export interface BundleHolding {
  /** Bytes of files of the last snapshot; files with equal content count each. */
  readonly heldBytes: number;
  readonly lengthBytes: number;
}

const HOLDING_BYTES = 10;

export function encodeHolding({ heldBytes, lengthBytes }: BundleHolding): Buffer {
  const bytes = Buffer.allocUnsafe(HOLDING_BYTES);
  bytes.writeUIntLE(heldBytes, 0, 6);
  bytes.writeUInt32LE(lengthBytes, 6);
  return bytes;
}

export const decodeHolding = (bytes: Buffer): BundleHolding => ({
  heldBytes: bytes.readUIntLE(0, 6),
  lengthBytes: bytes.readUInt32LE(6),
});
