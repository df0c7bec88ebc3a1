/** Serves `/costor/primes/1`: an owner's primes to whom they are due. docs/specs/replication.md, Fetching. */
import type { Clock } from "#ledger/clock.ts";
import type { Channel, Peers } from "#ledger/peers.ts";
import { sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { RestoreTicket } from "#protocol/restore-ticket.ts";
import { type DrillOrder, readDrillOrder } from "./drill-order.ts";
import { type RightsComponents, mayFetch } from "./fetch-rights.ts";
import { decodeMessage, encodeMessage } from "./frame-codec.ts";
import { batchFrames } from "./prime-batches.ts";
import { primesProtocol, primesRequest } from "./primes-messages.ts";
import { idsToBytes, refusalOf } from "./replicate-messages.ts";
import type { LedgerReader, OnRefused, Sites } from "./replication-ports.ts";
import { Tickets } from "./tickets.ts";

export interface PrimesServiceComponents extends RightsComponents {
  readonly ledger: Pick<LedgerReader, "statement" | "recoveryKeys">;
  readonly peers: Pick<Peers, "serve">;
  readonly sites: Pick<Sites, "sites" | "siteOfPeer" | "peerOf">;
  readonly onRefused?: OnRefused;
  readonly clock: Pick<Clock, "now">;
  /** Told once of each restore ticket that is used here. */
  readonly onTicket?: ((ticket: RestoreTicket) => void) | undefined;
  readonly store: Pick<PrimeStore, "get" | "getMany" | "hasKept">;
}

export function servePrimes(components: PrimesServiceComponents): void {
  const tickets = new Tickets({ ...components, onUsed: components.onTicket });
  components.peers.serve(primesProtocol, async (channel) => {
    try {
      for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive())
        await answer({ ...components, tickets }, channel, frame);
    } catch (error) {
      await channel.send(refusalOf(error)).catch(() => undefined);
      if (!(error instanceof CostorError)) throw error;
      components.onRefused?.(channel.peer, primesProtocol, error);
    }
    await channel.close();
  });
}

async function answer(
  components: PrimesServiceComponents & { tickets: Tickets },
  channel: Channel,
  frame: Uint8Array,
): Promise<void> {
  const { sites, store, tickets } = components;
  const request = decodeMessage(frame, primesRequest);
  const site = sites.siteOfPeer(channel.peer);
  if (site === undefined) throw new CostorError("peer-refused", "no primes are for a machine that is no site's");
  if (request.kind === "cancel") {
    tickets.cancel(request.ticket, channel.peer);
    return channel.send(encodeMessage({ kind: "cancelled" }));
  }
  const { owner, ids, ticket, order } = request;
  const slices = new Set(ids.map(sliceOf));
  if (ticket !== undefined) tickets.check(ticket, owner, channel.peer);
  else if (order !== undefined) requireOrdered(readDrillOrder(components, order, channel.peer), owner, ids);
  else if (![...slices].every((slice) => mayFetch(components, site, owner, slice)))
    throw new CostorError("peer-refused", "these primes are not for this site");
  const kept = await keptOnly(store, owner, ids);
  const lacking = ids.filter((id) => !kept.has(id));
  for await (const batch of batchFrames(store, [...kept], (id) => void lacking.push(id)))
    await channel.send(batch.frame);
  await channel.send(encodeMessage({ kind: "fetched", lacking: idsToBytes(lacking) }));
}

function requireOrdered(order: DrillOrder, owner: SiteId, ids: readonly PrimeId[]): void {
  const ordered = new Set(order.ids);
  if (order.owner !== owner || !ids.every((id) => ordered.has(id)))
    throw new CostorError("peer-refused", "the order for a drill is for other primes");
}

/** What is here for others is not spoken of. */
async function keptOnly(
  store: Pick<PrimeStore, "hasKept">,
  owner: SiteId,
  ids: readonly PrimeId[],
): Promise<Set<PrimeId>> {
  const has = await store.hasKept(owner, ids);
  return new Set(ids.filter((_, index) => has[index]));
}
