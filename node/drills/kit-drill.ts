/** One drill with the recovery kit: what it opens at any other site is this site's, and files of it come back from the other sites alone. */
import type { Rng } from "#ledger/rng.ts";
import { openPrimeSource } from "#node/export/prime-source.ts";
import type { RemoteRestoreInit } from "#node/rescue/remote-restore.ts";
import type { RescuedSite } from "#node/rescue/rescued-site.ts";
import type { Site } from "#node/site/site.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { parseRestoreTicket } from "#protocol/restore-ticket.ts";
import { type DrillCounts, type RestoreDrillInit, restoreDrill } from "./restore-drill.ts";

export interface KitDrillComponents {
  readonly site: Pick<Site, "identity" | "snapshots" | "store">;
  readonly rng: Pick<Rng, "fraction">;
  /** As {@link openKitRestore}; undefined while there are no other sites. */
  readonly openKit: ((init: RemoteRestoreInit) => Promise<RescuedSite>) | undefined;
}

/**
 * Throws `not-in-federation`, `kit-of-another-site`, `signature-invalid` for a kit that was replaced, `snapshot-unknown` while there is no
 * snapshot, and as {@link restoreDrill}.
 */
export async function kitDrill(
  { site, rng, openKit }: KitDrillComponents,
  grant: RemoteRestoreInit,
  init: Omit<RestoreDrillInit, "root" | "isWhole">,
): Promise<DrillCounts> {
  if (openKit === undefined)
    throw new CostorError("not-in-federation", "the kit opens copies at other sites, and there are none");
  if (parseRestoreTicket(grant.ticket).siteId !== site.identity.siteId)
    throw new CostorError("kit-of-another-site", "this is the recovery kit of another site");
  try {
    await using opened = await openKit(grant);
    const { agent, snapshot } = await choose({ site, rng }, opened);
    const { root } = await opened.snapshot(agent, snapshot);
    if (JSON.stringify(root) !== JSON.stringify((await site.snapshots.get(agent, snapshot)).root))
      throw new CostorError("drill-differs", "the kit opens another tree than the one that was backed up");
    const fetchPrime = async (id: PrimeId): Promise<Uint8Array> => {
      for await (const { stored } of opened.readPrimes([id], init.signal)) return stored;
      throw new CostorError("prime-missing", `prime ${id} did not come`);
    };
    const sources = {
      tested: openPrimeSource({ fetchPrime }),
      reference: openPrimeSource({ fetchPrime: (id) => site.store.get(id) }),
      rng,
    };
    return await restoreDrill(sources, { ...init, root: nodePointerFromWire(root), isWhole: false });
  } catch (error) {
    const isProof = (["seal-broken", "drill-differs"] as const).some((code) => isCostorError(error, code));
    if (!isProof) throw error;
    const { code, message } = error as CostorError;
    const failures = [{ what: "what the kit opens", message: `${code}: ${message}` }];
    return { filesCount: 0, bytes: 0, failedCount: 1, failures };
  }
}

/** Any of those that are here too: what has come after the newest turn of the ledger is not there yet. */
async function choose(
  { site, rng }: Pick<KitDrillComponents, "site" | "rng">,
  opened: RescuedSite,
): Promise<{ readonly agent: AgentId; readonly snapshot: SnapshotId }> {
  const both: { agent: AgentId; snapshot: SnapshotId }[] = [];
  for (const { id: agent } of await opened.agents()) {
    const here = new Set((await site.snapshots.list(agent)).map(({ id }) => id));
    for (const { id } of await opened.snapshots(agent))
      if (here.has(id)) both.push({ agent, snapshot: parseSnapshotId(id) });
  }
  const chosen = both[Math.floor(rng.fraction() * both.length)];
  if (chosen !== undefined) return chosen;
  throw new CostorError("snapshot-unknown", "no snapshot of this site is in the ledger yet");
}
