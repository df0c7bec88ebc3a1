/**
 * The HTTP contract between an agent and its site, as valibot schemas that both sides use; types come from the schemas.
 * Bodies named "octets" are raw bytes (application/octet-stream). Spec: docs/specs/http.md.
 */
import * as v from "valibot";
import { limits } from "./limits.ts";

const uuidV7 = v.pipe(v.string(), v.regex(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/));
const hex256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const base64 = (maxBytes: number) =>
  v.pipe(v.string(), v.maxLength(Math.ceil(maxBytes / 3) * 4), v.regex(/^[A-Za-z0-9+/]*={0,2}$/));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const timeMs = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const label = v.pipe(v.string(), v.minLength(1), v.maxLength(200));

/** A path's bytes in base64; longer than PATH_MAX, since trees are. */
const bytesOfPath = base64(limits.linkTargetBytes * 16);

export const enrolRequest = v.strictObject({
  /** The secret of the enrolment token, base64url. */
  secret: v.pipe(v.string(), v.maxLength(64)),
  hostName: label,
});
export const enrolResponse = v.object({
  agentId: uuidV7,
  token: v.pipe(v.string(), v.maxLength(200)),
  siteName: label,
  siteId: hex256,
  /** The site's scope secret, 32 bytes. */
  scopeSecret: base64(32),
  storeGeneration: v.string(),
});

export const checkInResponse = v.object({
  siteName: label,
  storeGeneration: v.string(),
  serverTimeMs: timeMs,
});

export const openSessionRequest = v.strictObject({
  /** A name for the series of snapshots that this one belongs to. */
  job: label,
  /** Chosen by the agent; opening a session again for the same snapshot gives the same session. */
  snapshotId: uuidV7,
  expectedBytes: v.optional(count),
  expectedFiles: v.optional(count),
});
export const openSessionResponse = v.object({
  sessionId: uuidV7,
  storeGeneration: v.string(),
  expiresMs: timeMs,
});

export const primesResponse = v.object({ storedCount: count });

/** A pointer to a snapshot's root node: its encoding itself, when it is short, or a slice of a tree prime. */
export const nodePointer = v.union([
  v.strictObject({ inline: base64(limits.rootInlineBytes) }),
  v.strictObject({
    slice: v.strictObject({
      id: hex256,
      key: base64(32),
      primeBytes: v.pipe(count, v.maxValue(limits.primePlainBytes)),
      offsetBytes: v.pipe(count, v.maxValue(limits.primePlainBytes)),
      lengthBytes: v.pipe(count, v.maxValue(limits.primePlainBytes)),
    }),
  }),
]);

const snapshotFacts = {
  job: label,
  /** Absolute paths, base64 of their bytes. */
  roots: v.pipe(v.array(bytesOfPath), v.minLength(1), v.maxLength(limits.rootsCount)),
  /** The agent's clock at the start. */
  startedMs: timeMs,
  objectsCount: count,
  filesCount: count,
  bytes: count,
  /** Objects that could not be read; above 0 the snapshot is partial. */
  unreadableCount: count,
};

export const commitRequest = v.strictObject({
  snapshotId: uuidV7,
  ...snapshotFacts,
  root: nodePointer,
});
export const commitResponse = v.object({ snapshotId: uuidV7, receivedMs: timeMs });

export const snapshotSummary = v.object({
  id: uuidV7,
  ...snapshotFacts,
  /** When the site received it, on the site's monotonic floor. */
  receivedMs: timeMs,
  /** Copies at other sites; left out by a site that is in no federation. Safe: as many as the site wants. */
  copies: v.optional(v.object({ count, isSafe: v.boolean() })),
});
export const snapshotsResponse = v.object({ snapshots: v.array(snapshotSummary) });
export const snapshotResponse = v.object({ ...snapshotSummary.entries, root: nodePointer });

/** RFC 9457, with our own code, help and details. */
export const problem = v.object({
  type: v.string(),
  title: v.string(),
  status: v.number(),
  detail: v.string(),
  code: v.string(),
  help: v.optional(v.string()),
  details: v.optional(v.record(v.string(), v.unknown())),
});

export type EnrolRequest = v.InferOutput<typeof enrolRequest>;
export type EnrolResponse = v.InferOutput<typeof enrolResponse>;
export type CheckInResponse = v.InferOutput<typeof checkInResponse>;
export type OpenSessionRequest = v.InferOutput<typeof openSessionRequest>;
export type OpenSessionResponse = v.InferOutput<typeof openSessionResponse>;
export type WireNodePointer = v.InferOutput<typeof nodePointer>;
export type CommitRequest = v.InferOutput<typeof commitRequest>;
export type CommitResponse = v.InferOutput<typeof commitResponse>;
export type SnapshotSummary = v.InferOutput<typeof snapshotSummary>;
export type SnapshotResponse = v.InferOutput<typeof snapshotResponse>;
export type Problem = v.InferOutput<typeof problem>;

export const contentTypes = {
  json: "application/json",
  octets: "application/octet-stream",
  problem: "application/problem+json",
} as const;

/** The paths of the agent's API. */
export const paths = {
  enrol: "/v1/enrol",
  checkIn: "/v1/check-in",
  sessions: "/v1/sessions",
  /** Body and answer are octets: ids of 32 bytes each; one byte an id, 1 for missing. */
  missing: (sessionId: string) => `/v1/sessions/${sessionId}/missing`,
  /** Body: a batch (protocol/batch.ts). Answered when every prime is durable. */
  primes: (sessionId: string) => `/v1/sessions/${sessionId}/primes`,
  commit: (sessionId: string) => `/v1/sessions/${sessionId}/commit`,
  snapshots: "/v1/snapshots",
  snapshot: (snapshotId: string) => `/v1/snapshots/${snapshotId}`,
  /** With `?path=`, the bytes of an absolute path, percent-encoded; without it everything. Spec: docs/specs/export.md. */
  tar: (snapshotId: string) => `/v1/snapshots/${snapshotId}/tar`,
  zip: (snapshotId: string) => `/v1/snapshots/${snapshotId}/zip`,
  /** The content of the file at `path`; takes Range. */
  file: (snapshotId: string) => `/v1/snapshots/${snapshotId}/file`,
  /** Body: ids of 32 bytes each; answer: a batch in the same order. */
  readPrimes: "/v1/primes/read",
} as const;
