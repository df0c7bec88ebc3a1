/**
 * What the main thread and a seal worker say to each other. Descriptors are the process's: the main thread opens a file,
 * the worker that gets it closes it. Stored bytes are transferred, never copied.
 */
import type { PrimeReference } from "#protocol/sealing.ts";

/** What a seal worker is started with. */
export interface SealSecrets {
  /** 32 bytes. */
  readonly scopeSecret: Uint8Array;
  /** 32 bytes: agent/backup/content-hash.ts. */
  readonly contentKey: Uint8Array;
}

export interface SealedPrime {
  readonly reference: PrimeReference;
  readonly stored: Uint8Array;
}

/** A change signature as the scan saw the file; see agent/files/stat.ts. */
export type Signature = Uint8Array;

/** Most bytes of small files in one run. */
export const runMaxBytes = 4 * 1024 * 1024;

/** A run of small files in walk order, to be laid into bundles. */
export interface FilesJob {
  readonly type: "files";
  readonly job: number;
  readonly descriptors: readonly number[];
  readonly sizesBytes: readonly number[];
  readonly signatures: readonly Signature[];
}

/** One file to be cut by content. */
export interface LargeJob {
  readonly type: "large";
  readonly job: number;
  readonly descriptor: number;
  readonly sizeBytes: number;
  readonly signature: Signature;
  /** Whether the file seems to have holes. */
  readonly sparse: boolean;
}

/** A stretch of a very large file; the descriptor stays the main thread's. */
export interface StretchJob {
  readonly type: "stretch";
  readonly job: number;
  readonly descriptor: number;
  readonly signature: Signature;
  readonly startBytes: number;
  readonly endBytes: number;
  /** How far ahead of the start cutting begins; 0 when the start is known to be a cut. */
  readonly leadInBytes: number;
}

/** The answer to an {@link Ask}: one byte a hash, 1 for content that needs no sealing. */
export interface Answer {
  readonly type: "answer";
  readonly job: number;
  readonly known: Uint8Array;
}

export type ToWorker = FilesJob | LargeJob | StretchJob | Answer;

/** Which of these contents, 16 bytes a hash, are known? The answer also waits until there is room for more. */
export interface Ask {
  readonly type: "ask";
  readonly job: number;
  readonly hashes: Uint8Array;
}

/** What became of one small file. */
export interface FileOutcome {
  /**
   * `known`: the asked hash stands for it; `sealed`: a slice of one of this message's primes; `grown`: no longer small, and
   * still open.
   */
  readonly state: "known" | "sealed" | "failed" | "grown";
  readonly hashIndex: number;
  readonly primeIndex: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** The statx record, when the file is no longer what the scan saw. */
  readonly restat?: Uint8Array;
  /** It still changed at the last try. */
  readonly changed: boolean;
  readonly failure?: { readonly code: string; readonly message: string };
}

export interface FilesDone {
  readonly type: "files-done";
  readonly job: number;
  readonly outcomes: readonly FileOutcome[];
  readonly primes: readonly SealedPrime[];
}

/** Chunks of a large file, in order: a hash each, and the primes of those that were not known. */
export interface ChunksSealed {
  readonly type: "chunks";
  readonly job: number;
  /** Which try of the file this is; a new try begins the list anew. */
  readonly attempt: number;
  /** For each chunk its index among the asked hashes when it was known, else -1 - its index in `primes`. */
  readonly parts: readonly number[];
  readonly primes: readonly SealedPrime[];
}

export interface LargeDone {
  readonly type: "large-done";
  readonly job: number;
  readonly attempt: number;
  readonly sizeBytes: number;
  readonly extents?: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[];
  readonly restat?: Uint8Array;
  readonly changed: boolean;
}

export interface StretchDone {
  readonly type: "stretch-done";
  readonly job: number;
  /** The stretch's chunks begin here … */
  readonly firstCutBytes: number;
  /** … and end here: the next stretch must begin there. */
  readonly lastCutBytes: number;
  /** The file is no longer what the scan saw. */
  readonly isChanged: boolean;
}

export interface JobFailed {
  readonly type: "failed";
  readonly job: number;
  readonly code: string;
  readonly message: string;
}

export type FromWorker = Ask | FilesDone | ChunksSealed | LargeDone | StretchDone | JobFailed;
