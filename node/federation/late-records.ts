/**
 * Takes records of this site's former machines that become known only after its sets are back: a site that was not reached then may be the only
 * one that was told of them. docs/specs/replication.md, Regaining
 */
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { Peers } from "#ledger/peers.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import type { Silence } from "#node/replication/silence.ts";
import { revokedAgent } from "#node/site/agent-registry.ts";
import { noteUnread } from "#node/site/unread-snapshots.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { LogId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type RegainedFactComponents, type SiteRecords, isNoRecord } from "./regained-facts.ts";
import { type SealedPlace, keyOfPlace, sealedContext } from "./sealed-statements.ts";

export interface LateRecordComponents extends Pick<RegainedFactComponents, "open" | "take" | "onBroken"> {
  readonly ledger: Pick<Ledger, "statements" | "wholeStatements">;
  readonly store: Pick<PrimeStore, "fact" | "appendFacts">;
  /** Without noting that the ledger was told of it as it is here. */
  readonly takeUntold: SiteRecords["take"];
}

/** A holder that is away longer may never come back. */
const PATIENCE_MS = 3 * 24 * 3_600_000;

export interface HolderAwayComponents {
  readonly ledger: Pick<Ledger, "receivers">;
  readonly membership: Pick<Membership, "sites" | "siteOfPeer">;
  readonly peers: Pick<Peers, "connected">;
  readonly silence: Pick<Silence, "of">;
}

/**
 * Whether somebody is away who says to keep something of the site's, and may be back soon: what is not whole now may be then. Where all are kept
 * connected that is seen at once, before any silence is counted.
 */
export function isHolderAway(
  { ledger, membership, peers, silence }: HolderAwayComponents,
  { siteId }: { readonly siteId: SiteId },
): boolean {
  const sites = membership.sites();
  const leastMs = sites.length <= limits.peerKeptCount ? 0 : 1;
  const connected = new Set(peers.connected().map((peer) => membership.siteOfPeer(peer)));
  const holders = new Set(allSlices.flatMap((slice) => ledger.receivers(siteId, slice)));
  return sites.some((site) => {
    const silentMs = silence.of(site);
    return holders.has(site) && !connected.has(site) && silentMs >= leastMs && silentMs < PATIENCE_MS;
  });
}

/** Facts by which a record is known here, whatever became of it. */
const FACTS = {
  agent: ["agent"],
  snapshot: ["snapshot", "gone-snapshot", "partial-snapshot", "unread-snapshot"],
} as const;

/**
 * Safe to repeat. What has come of snapshots is to be settled then. Agents come revoked: maybe somebody else has a former machine. `logId` is
 * this machine's log. Throws what the ledger's store and `take` throw.
 */
export async function takeLateRecords(
  components: LateRecordComponents,
  { siteId, logId }: { readonly siteId: SiteId; readonly logId: LogId },
): Promise<void> {
  const { ledger, store, open, take, takeUntold, onBroken } = components;
  const isKnown = async (kind: "agent" | "snapshot", key: string): Promise<boolean> => {
    for (const fact of FACTS[kind]) if ((await store.fact(fact, key)) !== undefined) return true;
    return false;
  };
  const takeRecord = async (place: SealedPlace, value: Uint8Array): Promise<void> => {
    if (place.kind === "agent") await takeUntold(place, revokedAgent(value));
    else await take(place, value);
  };
  for (const kind of ["agent", "snapshot"] as const)
    for (const { logId: from, seq, statement } of ledger.statements(siteId, kind)) {
      if (from === logId || (await isKnown(kind, keyOfPlace(statement)))) continue;
      for (const whole of await ledger.wholeStatements(from, seq)) {
        if (whole.kind !== kind) continue;
        try {
          await takeRecord(whole, await open(whole.sealed, sealedContext(siteId, whole)));
        } catch (error) {
          if (!isNoRecord(error)) throw error;
          if (kind === "snapshot") await noteUnread(store, keyOfPlace(whole));
          onBroken(whole, error);
        }
      }
    }
}
