/** What the store's worker thread and its proxy say to each other. Both run the same code, so messages are trusted. */
import { CostorError, type ErrorCode, isCostorError } from "#protocol/errors.ts";
import type { CheckProgress } from "./prime-store.ts";
import type { StoreEvent } from "./record-log.ts";
import type { SegmentStore } from "./segment-store.ts";

/** The calls that are passed on as they are. */
export type StoreMethod =
  | "put"
  | "putBatch"
  | "has"
  | "hasSent"
  | "hasClaimed"
  | "claim"
  | "keep"
  | "putFor"
  | "release"
  | "collect"
  | "compact"
  | "sentPage"
  | "keptPage"
  | "hasKept"
  | "keptTotals"
  | "keptSlices"
  | "lostPage"
  | "get"
  | "getMany"
  | "appendFacts"
  | "fact"
  | "factPage"
  | "closedEpoch"
  | "markClosed"
  | "areClosed"
  | "check"
  | "scrub"
  | "verifyIndex"
  | "rebuildIndex"
  | "stats"
  | "remove"
  | "dump"
  | "whenVerified";

export type StoreArguments<Method extends StoreMethod> = Parameters<SegmentStore[Method]>;
export type StoreResult<Method extends StoreMethod> = Awaited<ReturnType<SegmentStore[Method]>>;

export interface StoreWorkerData {
  readonly directory: string;
  readonly segmentBytes?: number;
  readonly reserveFileBytes?: number;
}

export type ToWorker =
  | {
      readonly type: "call";
      readonly call: number;
      readonly method: StoreMethod;
      readonly args: readonly unknown[];
      /** Memory that the other thread may use. */
      readonly spares: readonly ArrayBuffer[];
    }
  | { readonly type: "abort"; readonly call: number }
  | { readonly type: "close" };

export type FromWorker =
  | { readonly type: "opened"; readonly generation: string }
  | { readonly type: "not-opened"; readonly error: ErrorMessage }
  | {
      readonly type: "result";
      readonly call: number;
      readonly result: unknown;
      readonly generation: string;
      readonly spares: readonly ArrayBuffer[];
    }
  | { readonly type: "error"; readonly call: number; readonly error: ErrorMessage; readonly generation: string }
  | { readonly type: "progress"; readonly call: number; readonly progress: CheckProgress }
  | { readonly type: "event"; readonly event: StoreEvent }
  | { readonly type: "closed" };

export interface ErrorMessage {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly isAbort: boolean;
}

export function encodeError(error: unknown): ErrorMessage {
  if (isCostorError(error)) return { code: error.code, message: error.message, details: error.details, isAbort: false };
  const isAbort = error instanceof Error && error.name === "AbortError";
  return {
    code: isAbort ? "interrupted" : "internal",
    message: String((error as Error)?.stack ?? error),
    details: {},
    isAbort,
  };
}

export const decodeError = (error: ErrorMessage): CostorError =>
  new CostorError(error.code, error.message, { details: { ...error.details } });

/** The memory of a result that can change threads without a copy. */
export function transferOf(method: StoreMethod, result: unknown): ArrayBuffer[] {
  const buffers = method === "get" ? [result as Buffer] : method === "getMany" ? (result as Buffer[]) : [];
  // The same prime asked for twice in one call is read twice, so no memory occurs twice here.
  return buffers.map(({ buffer }) => buffer as ArrayBuffer);
}

export const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
