import { AT_EMPTY_PATH, AT_NO_AUTOMOUNT, EMPTY_STRING, allocate, libc } from "./libc.ts";
import { lastError } from "./os-error.ts";
import { type FileStat, STATX_MASK, STAT_BYTES, decodeStat } from "./stat.ts";

const scratch = allocate(STAT_BYTES);

/** Writes the raw record of an open object into `target`; also for descriptors from `Directory.openPath`. */
export function statDescriptor(fd: number, target: Buffer, targetAt = 0): void {
  if (libc.statx(fd, EMPTY_STRING, AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MASK, scratch.address) < 0)
    throw lastError("statx");
  scratch.bytes.copy(target, targetAt);
}

/** The record of an open object, decoded. */
export function readDescriptorStat(fd: number): FileStat {
  statDescriptor(fd, scratch.bytes);
  return decodeStat(scratch.bytes);
}
