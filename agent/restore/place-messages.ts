/**
 * What the restore's main thread and a place worker say to each other. Descriptors belong to the main thread, which keeps
 * them open until the answer; stored bytes are transferred.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { PrimeReference } from "#protocol/sealing.ts";
import type { FileAttributes } from "#protocol/tree.ts";
import type { PlacePolicy } from "#agent/files/attributes.ts";
import type { Replacing } from "#agent/files/new-file.ts";

/** A file whose content is one slice of the prime. */
export interface WholeFile {
  readonly directoryFd: number;
  readonly name: ByteString;
  readonly attributes: FileAttributes;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly replacing: Replacing;
}

/** A part of the prime that belongs into a file which the main thread has open. */
export interface PartWrite {
  readonly fd: number;
  /** It should be there already: nothing is written, and what is there is compared. */
  readonly isThere: boolean;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly fileOffsetBytes: number;
}

export interface PlaceTask {
  readonly task: number;
  readonly reference: PrimeReference;
  readonly stored: Uint8Array;
  /** As {@link PrimeSource.isVerified}. */
  readonly isVerified: boolean;
  readonly files: readonly WholeFile[];
  readonly writes: readonly PartWrite[];
}

export interface PlaceSettings {
  readonly policy: PlacePolicy;
  /** Read back what is written and compare. */
  readonly verify: boolean;
}

export interface Failure {
  /** A CostorError's or the system's. */
  readonly code: string;
  readonly message: string;
}

export interface FileOutcome {
  readonly identity?: { readonly device: number; readonly inode: bigint };
  readonly failure?: Failure;
  /** Attributes that could not be put on. */
  readonly notes: readonly { readonly kind: string; readonly message: string }[];
}

export interface PlaceAnswer {
  readonly task: number;
  /** The prime could not be opened: nothing of it was placed. */
  readonly failure?: Failure;
  readonly files: readonly FileOutcome[];
  readonly writes: readonly { readonly failure?: Failure }[];
}

export function describeFailure(error: unknown): Failure {
  const { code, message } = error as { code?: string; message?: string };
  return { code: code ?? "internal", message: message ?? String(error) };
}
