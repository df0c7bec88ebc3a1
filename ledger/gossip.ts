/**
 * What is spread to all members at once, best effort: a new entry, or how far a log goes and which roster its site follows, so that who lacks
 * some of it asks for it. Entries are admitted as always. docs/specs/ledger.md
 */
import * as v from "valibot";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type LogId, type RosterHash, type SiteId, parseLogId, parseRosterHash } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { parseEntry } from "./entry.ts";
import type { Ledger } from "./ledger.ts";
import type { Membership } from "./membership.ts";
import { bytes, idOf, natural, readMessage } from "./message-schema.ts";

export type Gossip =
  | { readonly entry: Uint8Array; readonly certificate: Uint8Array }
  /** The log has an entry of this seq, and its site follows this roster. */
  | Told;

interface Told {
  readonly log: LogId;
  readonly last: number;
  readonly roster: RosterHash;
}

const schema = v.union([
  v.strictObject({ entry: bytes, certificate: bytes }),
  v.strictObject({ log: idOf(parseLogId), last: natural, roster: idOf(parseRosterHash) }),
]);

export const gossipMessage = (entry: Uint8Array, certificate: Uint8Array): Buffer => encodeCbor({ entry, certificate });

export const lastMessage = ({ log, last, roster }: Told): Buffer =>
  encodeCbor({ log: Buffer.from(log, "hex"), last, roster: Buffer.from(roster, "hex") });

/** Throws `bad-encoding`, `limit-exceeded`. */
export function readGossip(message: Uint8Array): Gossip {
  if (message.length > limits.gossipBytes)
    throw new CostorError("limit-exceeded", `a message has at most ${limits.gossipBytes} bytes`);
  return readMessage(schema, message, "a message of the federation");
}

export interface Heard {
  /** There is more to ask for soon: entries before one are missing, it is a fork, or its author is not known here. */
  readonly syncSoon: boolean;
  /** Sites that have written more than is here, or follow a roster that is not. */
  readonly ahead: readonly SiteId[];
}

/**
 * Admits what was spread, all of it with one write. Throws what {@link Ledger.offer} and {@link readGossip} throw, for the first message that
 * is not as it has to be; those before it are admitted, or none are.
 */
export async function admitGossip(
  components: { readonly ledger: Ledger; readonly membership: Pick<Membership, "hasRoster"> },
  ...messages: readonly Uint8Array[]
): Promise<Heard> {
  const { ledger } = components;
  const gossips = messages.map(readGossip);
  const spread = gossips.flatMap((gossip) => ("entry" in gossip ? [gossip] : []));
  const logIds = spread.map(({ entry }) => parseEntry(entry).logId);
  const certificates = spread.filter((_, at) => ledger.log(logIds[at]!) === undefined).map((each) => each.certificate);
  const admissions = await ledger.offer({ certificates, entries: spread.map(({ entry }) => entry) });
  const lacksSome = admissions.some((admission) => admission === "not-allowed" || admission === "fork");
  const hasGap = logIds.some((logId) => ledger.log(logId)?.hasGap);
  const ahead = gossips.flatMap((gossip) => ("entry" in gossip ? [] : siteAhead(components, gossip)));
  return { syncSoon: lacksSome || hasGap, ahead };
}

function siteAhead({ ledger, membership }: Parameters<typeof admitGossip>[0], { log, last, roster }: Told): SiteId[] {
  const state = ledger.log(log);
  if (state === undefined) return [];
  const hasEntry = last > state.boundary || state.known.has(last);
  return hasEntry && membership.hasRoster(roster) ? [] : [state.log.certificate.siteId];
}
