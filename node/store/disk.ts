/**
 * The port between the store and a file system. `NodeDisk` is the real one; tests have one in memory that records every
 * call, so that each state that a crash could leave can be produced.
 */

/** An open file. Calls on one file may overlap only when none of them is `truncate` or `close`. */
export interface DiskFile {
  /** Reads into the whole of `target` from `offsetBytes`; returns how many bytes there were. May return fewer than asked only at the end. */
  read(target: Uint8Array, offsetBytes: number): Promise<number>;
  /** Writes all of `pieces`, end to end, from `offsetBytes`. On an error any part of them may have been written. */
  write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void>;
  /** After it returns, what was written before the call survives a crash of the machine (fdatasync). */
  sync(): Promise<void>;
  /** Says of a stretch that was synced that nobody reads it soon: the system need not keep it in memory. Never throws. */
  leaveCache(offsetBytes: number, lengthBytes: number): Promise<void>;
  truncate(lengthBytes: number): Promise<void>;
  sizeBytes(): Promise<number>;
  /** Whether it still has a name: what is written to a file that was removed is lost with the process. */
  hasName(): Promise<boolean>;
  close(): Promise<void>;
}

export interface DiskSpace {
  /** What an unprivileged process may still use. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Paths are relative to the store's directory. Errors are those of `node:fs`, with their `code`. */
export interface Disk {
  /** Names in a directory, in no order. */
  list(directory: string): Promise<string[]>;
  /** Makes a directory and what is missing above it, durably. */
  makeDirectory(directory: string): Promise<void>;
  openRead(path: string): Promise<DiskFile>;
  /** Opens an existing file for reading and writing. */
  openWrite(path: string): Promise<DiskFile>;
  /** Makes an empty file, or empties the one that is there, for reading and writing. Its name is durable after `syncDirectory`. */
  create(path: string): Promise<DiskFile>;
  unlink(path: string): Promise<void>;
  /** After it returns, names made and removed before the call survive a crash of the machine. */
  syncDirectory(directory: string): Promise<void>;
  space(): Promise<DiskSpace>;
}

/** Whether an error says that there is no room, so that the same call may succeed after some was freed. */
export function isNoSpace(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "ENOSPC" || code === "EDQUOT";
}

export function hasErrorCode(error: unknown, code: string): boolean {
  return (error as { code?: unknown } | null)?.code === code;
}
