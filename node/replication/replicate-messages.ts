/** What owner and holder say to each other. docs/specs/replication.md, A run. */
import * as v from "valibot";
import { bytes, bytesOf, idOf, natural } from "#ledger/message-schema.ts";
import type { Protocol } from "#ledger/peers.ts";
import { SLICES_COUNT } from "#ledger/slice.ts";
import { type ErrorCode, CostorError, errorRegistry, isCostorError } from "#protocol/errors.ts";
import { type PrimeId, parseSiteId, primeIdFromBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { encodeMessage } from "./frame-codec.ts";

export const replicateProtocol: Protocol = {
  name: "/costor/replicate/1",
  maxFrameBytes: limits.replicateFrameBytes,
  maxChannelsPerPeerCount: 3,
};

const HASH_BYTES = 32;

const entry = v.pipe(
  bytes,
  v.check((value) => value.length <= limits.ledgerEntryBytes, "an entry is too large"),
);
export const siteField = idOf(parseSiteId);

/** Ids end to end. */
export const idsField = (mostCount: number) =>
  v.pipe(
    bytes,
    v.check(
      (value) => value.length % HASH_BYTES === 0 && value.length <= mostCount * HASH_BYTES,
      "too many or broken ids",
    ),
    v.transform((value): PrimeId[] =>
      Array.from({ length: value.length / HASH_BYTES }, (_, at) =>
        primeIdFromBytes(value.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES)),
      ),
    ),
  );

export const idsToBytes = (list: readonly PrimeId[]): Buffer => Buffer.from(list.join(""), "hex");

/** Opens a slice: what follows is about it until the next one. */
const reserve = v.strictObject({
  kind: v.literal("reserve"),
  owner: siteField,
  slice: v.pipe(natural, v.maxValue(SLICES_COUNT - 1)),
  /** What the holder will have to keep of the slice. */
  bytes: natural,
  /** The `placement` or `steward` entry that names the holder. Without it the owner only looks at what is there. */
  entry: v.optional(entry),
});
const compare = v.strictObject({
  kind: v.literal("compare"),
  /** Of the fingerprints; the owner chooses it. */
  key: bytesOf(HASH_BYTES),
  /** ledger/reconcile-messages.ts */
  question: bytes,
});
const finish = v.strictObject({
  kind: v.literal("finish"),
  /** The owner's `live-set`; a steward's own `receipt`. */
  entry,
  /** What the holder has and the live set has not. */
  extras: idsField(limits.reconcileExtrasCount),
});
/** Which of what the holder has is noted as omitted. */
const omitted = v.strictObject({ kind: v.literal("omitted") });
/** No more slices: the receipts are due. */
const end = v.strictObject({ kind: v.literal("end") });
/** Frames that are no batch, from the owner. */
export const replicateRequest = v.variant("kind", [reserve, compare, finish, omitted, end]);
export type ReserveRequest = v.InferOutput<typeof reserve>;
export type FinishRequest = v.InferOutput<typeof finish>;

export const refused = v.strictObject({ kind: v.literal("refused"), code: v.string(), message: v.string() });
const answers = {
  granted: v.strictObject({ kind: v.literal("granted") }),
  compared: v.strictObject({ kind: v.literal("compared"), answer: bytes }),
  kept: v.strictObject({ kind: v.literal("kept"), count: natural }),
  /** The slice is as it was signed; its receipt comes at the end. */
  received: v.strictObject({ kind: v.literal("received") }),
  /** The entries in which the receipts of all slices stand that were received. */
  receipts: v.strictObject({ kind: v.literal("receipts"), entries: v.pipe(v.array(entry), v.maxLength(SLICES_COUNT)) }),
  differs: v.strictObject({ kind: v.literal("differs"), count: natural, hash: bytesOf(HASH_BYTES) }),
  omitted: v.strictObject({ kind: v.literal("omitted"), ids: idsField(limits.reconcileExtrasCount) }),
  refused,
};
/** Frames from the holder. */
export const replicateAnswer = v.variant("kind", [
  answers.granted,
  answers.compared,
  answers.kept,
  answers.received,
  answers.receipts,
  answers.differs,
  answers.omitted,
  answers.refused,
]);
export type ReplicateAnswer = v.InferOutput<typeof replicateAnswer>;

const MESSAGE_CHARACTERS = 300;

/** What went wrong, for the other side: nothing of what stands in this machine's own files. */
export function refusalOf(error: unknown): Buffer {
  const [code, message] = isCostorError(error) ? [error.code, error.message] : (["internal", ""] as const);
  return encodeMessage({ kind: "refused", code, message: message.slice(0, MESSAGE_CHARACTERS) });
}

/** The other side's refusal as an error here; a code that this version does not know is `peer-refused`. */
export function refusalError({ code, message }: { code: string; message: string }): CostorError {
  const known: ErrorCode = REFUSALS.has(code) ? (code as ErrorCode) : "peer-refused";
  return new CostorError(known, `the other site refuses: ${message.slice(0, MESSAGE_CHARACTERS)}`, {
    details: { code: Object.hasOwn(errorRegistry, code) ? code : "peer-refused" },
  });
}

/** Those that say something to the one who is refused. */
const REFUSALS = new Set<string>([
  ...["quota-exceeded", "peer-refused", "too-many-requests", "store-full", "store-failed", "ledger-refused"],
]);
