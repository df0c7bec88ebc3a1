/**
 * What is spread to all members at once, best effort: a new entry, or a hint that there is something to ask for. Entries are
 * admitted as always; what was lost comes with the next synchronisation. docs/specs/ledger.md
 */
import * as v from "valibot";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { parseEntry } from "./entry.ts";
import type { Ledger } from "./ledger.ts";
import { bytes, bytesOf, readMessage } from "./message-schema.ts";

export type Gossip =
  | { readonly entry: Uint8Array; readonly certificate: Uint8Array }
  /** The digest of the sender's ledger. */
  | { readonly hint: Uint8Array };

const schema = v.union([v.strictObject({ entry: bytes, certificate: bytes }), v.strictObject({ hint: bytesOf(32) })]);

export const gossipMessage = (entry: Uint8Array, certificate: Uint8Array): Buffer => encodeCbor({ entry, certificate });

export const hintMessage = (ledger: Pick<Ledger, "digest">): Buffer =>
  encodeCbor({ hint: Buffer.from(ledger.digest(), "hex") });

/** Throws `bad-encoding`, `limit-exceeded`. */
export function readGossip(message: Uint8Array): Gossip {
  if (message.length > limits.gossipBytes)
    throw new CostorError("limit-exceeded", `a message has at most ${limits.gossipBytes} bytes`);
  return readMessage(schema, message, "a message of the federation");
}

/**
 * Admits what was spread, all of it with one write. Whether there is more to ask for soon: entries before one are missing, it is a fork, its
 * author is not known here, or the ledgers differ. Throws what {@link Ledger.offer} and {@link readGossip} throw, for the first message that is
 * not as it has to be; those before it are admitted, or none are.
 */
export async function admitGossip(
  ledger: Ledger,
  ...messages: readonly Uint8Array[]
): Promise<{ readonly syncSoon: boolean }> {
  const gossips = messages.map(readGossip);
  const spread = gossips.flatMap((gossip) => ("entry" in gossip ? [gossip] : []));
  const logIds = spread.map(({ entry }) => parseEntry(entry).logId);
  const certificates = spread.filter((_, at) => ledger.log(logIds[at]!) === undefined).map((each) => each.certificate);
  const admissions = await ledger.offer({ certificates, entries: spread.map(({ entry }) => entry) });
  const lacksSome = admissions.some((admission) => admission === "not-allowed" || admission === "fork");
  const hasGap = logIds.some((logId) => ledger.log(logId)?.hasGap);
  const differs = gossips.some((gossip) => "hint" in gossip && !isDigestOf(ledger, gossip.hint));
  return { syncSoon: lacksSome || hasGap || differs };
}

const isDigestOf = (ledger: Ledger, hint: Uint8Array): boolean => Buffer.from(hint).toString("hex") === ledger.digest();
