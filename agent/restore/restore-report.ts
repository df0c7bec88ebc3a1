/** What a restore did, and how far it is. */
import type { ByteString } from "#protocol/byte-string.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import type { Failure } from "./place-messages.ts";

const LISTED_COUNT = 1000;

export interface RestoreProgress {
  objectsCount: number;
  /** Done, also by being left as they were. */
  filesCount: number;
  /** Of those files, and of what is under way. */
  bytes: number;
  expectedObjectsCount: number;
  expectedBytes: number;
}

export interface RestoreReport {
  readonly snapshotId: SnapshotId;
  /** Made or replaced. */
  readonly restoredCount: number;
  readonly restoredBytes: number;
  /** Left as they were, by the overwrite mode or because they are the same. */
  readonly keptCount: number;
  readonly deletedCount: number;
  readonly failedCount: number;
  readonly failed: readonly (Failure & { readonly path: ByteString })[];
  /** What was restored otherwise than it was: attributes that could not be put on, files that changed while they were read. */
  readonly notesCount: number;
  readonly notes: readonly { readonly path: ByteString; readonly kind: string; readonly message: string }[];
  readonly fetchedBytes: number;
  readonly durationMs: number;
}

/** Collects a report. */
export class RestoreTally {
  restoredCount = 0;
  restoredBytes = 0;
  keptCount = 0;
  deletedCount = 0;
  failedCount = 0;
  readonly failed: (Failure & { path: ByteString })[] = [];
  notesCount = 0;
  readonly notes: { path: ByteString; kind: string; message: string }[] = [];

  fail(path: ByteString, failure: Failure): void {
    this.failedCount++;
    if (this.failed.length < LISTED_COUNT) this.failed.push({ path, ...failure });
  }

  note(path: ByteString, kind: string, message: string): void {
    this.notesCount++;
    if (this.notes.length < LISTED_COUNT) this.notes.push({ path, kind, message });
  }
}
