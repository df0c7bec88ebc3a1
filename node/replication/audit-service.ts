/** Serves `/costor/audit/1`: proves to have an owner's primes. docs/specs/replication.md, Audits. */
import { auditAnswer } from "#ledger/audit-sample.ts";
import type { Channel, Peers } from "#ledger/peers.ts";
import { sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { type RightsComponents, isHolder } from "./fetch-rights.ts";
import { decodeMessage, encodeMessage } from "./frame-codec.ts";
import { auditProtocol, auditRequest } from "./primes-messages.ts";
import { refusalOf } from "./replicate-messages.ts";
import type { OnRefused, Sites } from "./replication-ports.ts";

export interface AuditServiceComponents extends RightsComponents {
  readonly self: SiteId;
  readonly peers: Pick<Peers, "serve">;
  readonly sites: Pick<Sites, "sites" | "siteOfPeer">;
  readonly onRefused?: OnRefused;
  readonly store: Pick<PrimeStore, "get" | "hasKept">;
  /** `sayLost` of losses.ts. Throws what ends the audit while the site cannot tell: what does not come is no wrong answer. */
  readonly sayLost: (owner: SiteId, slice: number) => Promise<Uint8Array | undefined>;
}

export function serveAudits(components: AuditServiceComponents): void {
  components.peers.serve(auditProtocol, async (channel) => {
    try {
      const frame = await channel.receive();
      if (frame !== undefined) await answer(components, channel, frame);
    } catch (error) {
      await channel.send(refusalOf(error)).catch(() => undefined);
      if (!(error instanceof CostorError)) throw error;
      components.onRefused?.(channel.peer, auditProtocol, error);
    }
    await channel.close();
  });
}

/** To the owner, and to those that hold the same slices. */
async function answer(components: AuditServiceComponents, channel: Channel, frame: Uint8Array): Promise<void> {
  const { self, sites, store } = components;
  const { owner, nonce, ids } = decodeMessage(frame, auditRequest);
  const asker = sites.siteOfPeer(channel.peer);
  const mayAsk = (slice: number): boolean =>
    asker !== undefined && (asker === owner || isHolder(components, asker, owner, slice));
  if (!ids.map(sliceOf).every(mayAsk)) throw new CostorError("peer-refused", "this is not for this site to ask");
  const kept = await store.hasKept(owner, ids);
  for (const [index, id] of ids.entries()) {
    const stored = kept[index] ? await storedOf(store, id) : undefined;
    if (stored !== undefined) {
      await channel.send(encodeMessage({ kind: "answer", answer: auditAnswer(nonce, self, stored) }));
      continue;
    }
    const loss = await components.sayLost(owner, sliceOf(id));
    await channel.send(encodeMessage({ kind: "answer", answer: null, ...(loss && { loss }) }));
  }
}

async function storedOf(store: Pick<PrimeStore, "get">, id: PrimeId): Promise<Uint8Array | undefined> {
  try {
    return await store.get(id);
  } catch (error) {
    if (isCostorError(error, "prime-missing") || isCostorError(error, "prime-corrupt")) return undefined;
    throw error;
  }
}
