/** The messages of a synchronisation. docs/specs/ledger.md */
import * as v from "valibot";
import { type CborMap, type CborValue, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type LogId, type RosterHash, parseLogId, parseRosterHash } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { ForkProof } from "./log-state.ts";
import { SeqRanges } from "./seq-ranges.ts";
import { bytes, idOf, natural, readMessage } from "./message-schema.ts";

export type SyncRequest =
  /** Whether ledgers (digest, 64 hex digits) and chains (hash of the newest roster) are equal. */
  | { readonly ask: "compare"; readonly digest: string; readonly roster: RosterHash | null }
  /** Rosters of that number and above. */
  | { readonly ask: "rosters"; readonly from: number }
  /** Logs and their digests. */
  | { readonly ask: "summary" }
  /** What is known of logs, in the order asked. */
  | { readonly ask: "logs"; readonly logs: readonly LogId[] }
  /** The entries in force of those seqs, ascending. */
  | { readonly ask: "entries"; readonly log: LogId; readonly ranges: SeqRanges }
  /** The entries of the asker's own site's log that are withdrawn and kept, ascending. */
  | { readonly ask: "withdrawn"; readonly log: LogId }
  /** The digest over the entries in force of those seqs. */
  | { readonly ask: "check"; readonly log: LogId; readonly ranges: SeqRanges };

export interface Comparison {
  readonly same: boolean;
  /** The answerer's newest roster; null when it has none, or all is the same. */
  readonly newest: { readonly number: number; readonly hash: RosterHash } | null;
}

export interface LogDigest {
  readonly log: LogId;
  readonly digest: string;
}

export interface LogKnowledge {
  readonly log: LogId;
  readonly certificate: Uint8Array;
  readonly known: SeqRanges;
  /** Seqs of retires in force. */
  readonly retires: SeqRanges;
  readonly fork: ForkProof | null;
}

const fromHex = (id: string): Buffer => Buffer.from(id, "hex");
const MESSAGE = "a message of a synchronisation";
const hash = idOf((hex) => hex);
const logId = idOf(parseLogId);
const rosterHash = idOf(parseRosterHash);
const ranges = v.pipe(
  v.unknown(),
  v.transform((value) => SeqRanges.parse(value, limits.ledgerRangesCount)),
);

const requestSchema = v.variant("ask", [
  v.strictObject({ ask: v.literal("compare"), digest: hash, roster: v.nullable(rosterHash) }),
  v.strictObject({ ask: v.literal("rosters"), from: natural }),
  v.strictObject({ ask: v.literal("summary") }),
  v.strictObject({
    ask: v.literal("logs"),
    logs: v.pipe(v.array(logId), v.minLength(1), v.maxLength(limits.syncLogsAtOnceCount)),
  }),
  v.strictObject({ ask: v.literal("entries"), log: logId, ranges }),
  v.strictObject({ ask: v.literal("withdrawn"), log: logId }),
  v.strictObject({ ask: v.literal("check"), log: logId, ranges }),
]);
const comparisonSchema = v.strictObject({
  same: v.boolean(),
  newest: v.nullable(v.strictObject({ number: natural, hash: rosterHash })),
});
const checkSchema = v.strictObject({ digest: hash });

/** A sequence of pages, each with the items of one kind. */
export const pages = {
  rosters: bytes,
  summary: v.strictObject({ log: logId, digest: hash }),
  logs: v.strictObject({
    log: logId,
    certificate: bytes,
    known: ranges,
    retires: ranges,
    fork: v.nullable(v.tuple([bytes, bytes])),
  }),
  entries: bytes,
};
export type PageName = keyof typeof pages;
export type PageItem<Name extends PageName> = v.InferOutput<(typeof pages)[Name]>;

/** Throws what {@link parseSyncRequest} throws. */
export const parseSyncRequest = (frame: Uint8Array): SyncRequest => readMessage(requestSchema, frame, MESSAGE);
/** Throws `bad-encoding`, `bad-id`. */
export const parseComparison = (frame: Uint8Array): Comparison => readMessage(comparisonSchema, frame, MESSAGE);
/** Throws `bad-encoding`, `bad-id`. */
export const parseCheck = (frame: Uint8Array): string => readMessage(checkSchema, frame, MESSAGE).digest;

/** Throws `bad-encoding`, `bad-id`; also for an empty page that is not the last. */
export function parsePage<Name extends PageName>(
  name: Name,
  frame: Uint8Array,
): { readonly items: PageItem<Name>[]; readonly more: boolean } {
  const schema = v.strictObject({ [name]: v.array(pages[name] as v.GenericSchema), more: v.boolean() });
  const page = readMessage(schema as v.GenericSchema<unknown, Record<string, unknown>>, frame, MESSAGE);
  const items = page[name] as PageItem<Name>[];
  const more = page["more"] === true;
  if (more && items.length === 0)
    throw new CostorError("bad-encoding", `not ${MESSAGE}: an empty page that is not the last`);
  return { items, more };
}

export function encodeSyncRequest(request: SyncRequest): Buffer {
  switch (request.ask) {
    case "compare":
      return encodeCbor({
        ...request,
        digest: fromHex(request.digest),
        roster: request.roster && fromHex(request.roster),
      });
    case "logs":
      return encodeCbor({ ...request, logs: request.logs.map(fromHex) });
    case "withdrawn":
      return encodeCbor({ ...request, log: fromHex(request.log) });
    case "entries":
    case "check":
      return encodeCbor({ ...request, log: fromHex(request.log), ranges: request.ranges.ranges });
    default:
      return encodeCbor({ ...request });
  }
}

export const encodeComparison = ({ same, newest }: Comparison): Buffer =>
  encodeCbor({ same, newest: newest && { number: newest.number, hash: fromHex(newest.hash) } });

export const encodeCheck = (digest: string): Buffer => encodeCbor({ digest: fromHex(digest) });

export const encodePage = (name: PageName, items: readonly CborValue[], more: boolean): Buffer =>
  encodeCbor({ [name]: items, more });

export const logDigestItem = ({ log, digest }: LogDigest): CborMap => ({ log: fromHex(log), digest: fromHex(digest) });

/** Of a log with more ranges than a message may have, the first ones. */
export const knowledgeItem = ({ log, certificate, known, retires, fork }: LogKnowledge): CborMap => ({
  log: fromHex(log),
  certificate,
  known: known.ranges.slice(0, limits.ledgerRangesCount),
  retires: retires.ranges.slice(0, limits.ledgerRangesCount),
  fork,
});
