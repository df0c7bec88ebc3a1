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
 * Admits what was spread. Whether there is more to ask for soon: entries before it are missing, it is a fork, its author is not
 * known here, or the ledgers differ. Throws what {@link Ledger.offer} and {@link readGossip} throw.
 */
export async function admitGossip(ledger: Ledger, message: Uint8Array): Promise<{ readonly syncSoon: boolean }> {
  const gossip = readGossip(message);
  if ("hint" in gossip) return { syncSoon: Buffer.from(gossip.hint).toString("hex") !== ledger.digest() };
  const { logId } = parseEntry(gossip.entry);
  const certificates = ledger.log(logId) === undefined ? [gossip.certificate] : [];
  const [admission] = await ledger.offer({ certificates, entries: [gossip.entry] });
  const hasGap = ledger.log(logId)?.hasGap ?? false;
  return { syncSoon: hasGap || admission === "not-allowed" || admission === "fork" };
}
