/** What a backup did, and how far it is. */
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import type { SnapshotId } from "#protocol/ids.ts";

/** Causes kept by name; all are counted. */
const LISTED_COUNT = 1000;

export interface Unreadable {
  readonly path: ByteString;
  /** The symbolic name of the system's error, such as EACCES. */
  readonly code: string;
  readonly message: string;
}

export interface BackupProgress {
  phase: "scanning" | "finishing" | "committing";
  objectsCount: number;
  filesCount: number;
  /** Of all files seen so far, read or unchanged. */
  bytes: number;
  /** Of those that need not be read. */
  unchangedBytes: number;
  readBytes: number;
  /** Sealed bytes that the site acknowledged. */
  sentBytes: number;
  /** What the last snapshot held, for an estimate. */
  expectedObjectsCount?: number;
  expectedBytes?: number;
}

export interface BackupReport {
  /** Absent after a dry run. */
  readonly snapshotId?: SnapshotId;
  readonly objectsCount: number;
  readonly filesCount: number;
  readonly bytes: number;
  /** Files that were new or changed. */
  readonly readFilesCount: number;
  readonly readBytes: number;
  readonly sentBytes: number;
  readonly sentPrimesCount: number;
  readonly unreadableCount: number;
  readonly unreadable: readonly Unreadable[];
  /** Files that kept changing while they were read. */
  readonly changedCount: number;
  readonly changed: readonly ByteString[];
  readonly skippedSocketsCount: number;
  /** Why the snapshot, which is complete, could not be remembered here: the next backup takes longer. */
  readonly notRemembered?: string;
  readonly durationMs: number;
}

/** Collects what could not be read. */
export class Findings {
  readonly unreadable: Unreadable[] = [];
  unreadableCount = 0;
  readonly changed: ByteString[] = [];
  changedCount = 0;
  skippedSocketsCount = 0;

  noteUnreadable(path: ByteString, error: unknown): void {
    const { code, message } = error as { code?: string; message?: string };
    this.unreadableCount++;
    if (this.unreadable.length < LISTED_COUNT)
      this.unreadable.push({ path, code: code ?? "EIO", message: message ?? displayName(path) });
  }

  /** Notes what of one object cannot be read, and counts it. */
  problemsOf(path: () => ByteString): { count: number; readonly note: (error: Error) => void } {
    const problems = {
      count: 0,
      note: (error: Error): void => {
        problems.count++;
        this.noteUnreadable(path(), error);
      },
    };
    return problems;
  }

  /** Its part of a report. */
  summary(): Pick<BackupReport, "unreadable" | "unreadableCount" | "changed" | "changedCount" | "skippedSocketsCount"> {
    const { unreadable, unreadableCount, changed, changedCount, skippedSocketsCount } = this;
    return { unreadable, unreadableCount, changed, changedCount, skippedSocketsCount };
  }

  noteChanged(path: ByteString): void {
    this.changedCount++;
    if (this.changed.length < LISTED_COUNT) this.changed.push(path);
  }
}
