/** What the kernel keeps of files in memory. */
import { libc } from "./libc.ts";

/** From Linux' `fadvise.h`; another number on s390 only. */
const POSIX_FADV_DONTNEED = 4;

/**
 * Lets the kernel forget a stretch of an open file, which nobody will read soon: whole pages of it, and only what is on the disk
 * already. A hint, which never fails.
 */
export function leavePageCache(descriptor: number, offsetBytes: number, lengthBytes: number): void {
  libc.posix_fadvise(descriptor, offsetBytes, lengthBytes, POSIX_FADV_DONTNEED);
}
