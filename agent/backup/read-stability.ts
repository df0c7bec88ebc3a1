/** Whether a file stayed what the scan saw while it was read. */
import { statDescriptor } from "#agent/files/descriptor-stat.ts";
import { CHANGE_SIGNATURE_BYTES, STAT_BYTES, writeChangeSignature } from "#agent/files/stat.ts";
import type { Signature } from "./worker-messages.ts";

const record = Buffer.alloc(STAT_BYTES);
const now = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
const before = Buffer.alloc(CHANGE_SIGNATURE_BYTES);

export function readStat(descriptor: number): Buffer {
  statDescriptor(descriptor, record);
  return Buffer.from(record);
}

/**
 * The statx record of the open file when it differs from `signature`, or from `restat` where an earlier read already saw
 * it change; undefined when nothing changed since.
 */
export function restatIfChanged(
  descriptor: number,
  signature: Signature,
  restat: Buffer | undefined,
): Buffer | undefined {
  statDescriptor(descriptor, record);
  writeChangeSignature(record, 0, now, 0);
  if (restat) writeChangeSignature(restat, 0, before, 0);
  else before.set(signature);
  return now.equals(before) ? undefined : Buffer.from(record);
}
