/** What is said on `/costor/drill/1`. docs/specs/replication.md, Drills across sites */
import * as v from "valibot";
import { bytes, natural } from "#ledger/message-schema.ts";
import type { Protocol } from "#ledger/peers.ts";
import { idsField, refused } from "#node/replication/replicate-messages.ts";
import { limits } from "#protocol/limits.ts";

export const drillProtocol: Protocol = {
  name: "/costor/drill/1",
  maxFrameBytes: limits.replicateFrameBytes,
  maxChannelsPerPeerCount: 1,
};

export const gatherRequest = v.strictObject({ kind: v.literal("gather"), order: bytes });
/** After the batches: those that nobody gave. */
export const gatheredAnswer = v.variant("kind", [
  v.strictObject({ kind: v.literal("gathered"), lacking: idsField(limits.drillOrderIdsCount) }),
  refused,
]);
/** How many of the order's primes were lacking, or not what the owner has. */
export const resultRequest = v.strictObject({
  kind: v.literal("result"),
  failedCount: v.pipe(natural, v.maxValue(limits.drillOrderIdsCount)),
});
export const witnessedAnswer = v.variant("kind", [v.strictObject({ kind: v.literal("witnessed") }), refused]);
