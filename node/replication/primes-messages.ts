/** What is said on `/costor/primes/1` and `/costor/audit/1`. docs/specs/replication.md, Fetching and Audits. */
import * as v from "valibot";
import type { Protocol } from "#ledger/peers.ts";
import { limits } from "#protocol/limits.ts";
import { idsField, refused, siteField } from "./replicate-messages.ts";

export const primesProtocol: Protocol = {
  name: "/costor/primes/1",
  maxFrameBytes: limits.replicateFrameBytes,
  maxChannelsPerPeerCount: 2,
};
export const auditProtocol: Protocol = {
  name: "/costor/audit/1",
  maxFrameBytes: 16 * 1024,
  maxChannelsPerPeerCount: 1,
};

const ID_BYTES = 32;

const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array);
const bytes32 = v.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === ID_BYTES);

const ticket = v.pipe(
  v.custom<Uint8Array>((value) => value instanceof Uint8Array),
  v.check((value) => value.length <= limits.restoreTicketBytes),
);

export const primesRequest = v.variant("kind", [
  v.strictObject({
    kind: v.literal("fetch"),
    owner: siteField,
    ids: idsField(limits.fetchIdsCount),
    ticket: v.optional(ticket),
    order: v.optional(bytes),
  }),
  v.strictObject({ kind: v.literal("cancel"), ticket }),
]);
/** After the batches: those that are not here. */
export const primesAnswer = v.variant("kind", [
  v.strictObject({ kind: v.literal("fetched"), lacking: idsField(limits.fetchIdsCount) }),
  v.strictObject({ kind: v.literal("cancelled") }),
  refused,
]);

export const auditRequest = v.strictObject({
  kind: v.literal("audit"),
  owner: siteField,
  nonce: bytes32,
  ids: idsField(limits.auditPrimesCount),
});
/** One for each id, in order; null for what is not here, with the entry that says that the slice has lost something, if there is one. */
export const auditAnswerMessage = v.variant("kind", [
  v.strictObject({ kind: v.literal("answer"), answer: v.nullable(bytes32), loss: v.optional(bytes) }),
  refused,
]);
