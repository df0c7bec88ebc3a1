/** Serves `/costor/drill/1`: gathers a sample of another site's primes for its drill. docs/specs/replication.md, Drills across sites */
import type { Channel, Peers } from "#ledger/peers.ts";
import { batchPieces, decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { readDrillOrder } from "#node/replication/drill-order.ts";
import { idsToBytes, refusalOf } from "#node/replication/replicate-messages.ts";
import type { OnRefused, OwnEntries, Sites } from "#node/replication/replication-ports.ts";
import { type GatheringComponents, PrimeGathering } from "#node/rescue/prime-gathering.ts";
import { Deadline } from "#ledger/deadline.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { drillProtocol, gatherRequest, resultRequest } from "./drill-messages.ts";

export interface GatheringServiceComponents extends GatheringComponents {
  readonly peers: Pick<Peers, "self" | "serve" | "open" | "connected">;
  readonly sites: Pick<Sites, "sites" | "peerOf" | "siteOfPeer">;
  readonly entries: Pick<OwnEntries, "write">;
  readonly onRefused: OnRefused;
}

export function serveGathering(components: GatheringServiceComponents): void {
  /** When each owner was served last. */
  const served = new Map<SiteId, number>();
  components.peers.serve(drillProtocol, async (channel) => {
    try {
      await answer(components, served, channel);
    } catch (error) {
      await channel.send(refusalOf(error)).catch(() => undefined);
      if (!(error instanceof CostorError)) throw error;
      components.onRefused(channel.peer, drillProtocol, error);
    }
    await channel.close();
  });
}

async function answer(
  components: GatheringServiceComponents,
  served: Map<SiteId, number>,
  channel: Channel,
): Promise<void> {
  const { clock, peers, sites, entries } = components;
  using deadline = new Deadline({ clock }, { afterMs: limits.drillOrderLifeMs, reason: tooSlow });
  const asked = await channel.receive(deadline.signal);
  if (asked === undefined) return;
  const { order } = decodeMessage(asked, gatherRequest);
  const { owner, ids } = readDrillOrder(components, order, peers.self);
  if (sites.siteOfPeer(channel.peer) !== owner)
    throw new CostorError("peer-refused", "an order for a drill comes from its owner");
  if (clock.elapsedMs() < (served.get(owner) ?? -Infinity) + limits.drillGatherEveryMs)
    throw new CostorError("too-many-requests", "this site has gathered for a drill of that site just now");
  served.set(owner, clock.elapsedMs());
  const gathering = new PrimeGathering(components, { owner, proof: { order }, signal: deadline.signal });
  try {
    const lacking: PrimeId[] = [];
    for (const id of ids) if (!(await passOn(gathering, id, channel))) lacking.push(id);
    await channel.send(encodeMessage({ kind: "gathered", lacking: idsToBytes(lacking) }));
  } finally {
    gathering.close();
  }
  const told = await channel.receive(deadline.signal);
  if (told === undefined) return;
  const { failedCount } = decodeMessage(told, resultRequest);
  await entries.write({ kind: "drill-witness", owner, failedCount, endedMs: clock.now(), ...gathering.totals });
  await channel.send(encodeMessage({ kind: "witnessed" }));
}

/** One after the other: no more than one is in memory. Whether somebody gave it. */
async function passOn(gathering: PrimeGathering, id: PrimeId, channel: Channel): Promise<boolean> {
  try {
    for await (const prime of gathering.readPrimes([id])) await channel.send(batchPieces([prime]));
    return true;
  } catch (error) {
    if (isCostorError(error, "prime-missing")) return false;
    throw error;
  }
}

const tooSlow = (): Error => new CostorError("peer-unreachable", "the drill took too long");
