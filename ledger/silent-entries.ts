/**
 * Of sites that may not speak, such as guests that were let out, so much is kept that they can come back, and no more: a member may let in one
 * after the other, and each may say as much as any. docs/specs/ledger.md, Admission
 */
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Log } from "./entry.ts";
import { type KeptLedger, forgetEntries } from "./kept-ledger.ts";
import type { LedgerStore } from "./ledger-store.ts";
import type { HeldEntry } from "./log-state.ts";

/**
 * Takes out of the store what the sites have said that have said most, until the rest has room. Who is let in again gives it once more. How many
 * entries that is.
 */
export async function forgetSilent(
  store: LedgerStore,
  { logs, entries }: Pick<KeptLedger, "logs" | "entries">,
  { isSilent, mostBytes = limits.ledgerSilentBytes }: { isSilent: (log: Log) => boolean; mostBytes?: number },
): Promise<number> {
  const sites = new Map(logs.filter(isSilent).map(({ id, certificate }) => [id, certificate.siteId]));
  const bySite = new Map<SiteId, { bytes: number; readonly held: HeldEntry[] }>();
  for (const held of entries) {
    const siteId = sites.get(held.logId);
    if (siteId === undefined) continue;
    const said = bySite.get(siteId) ?? { bytes: 0, held: [] };
    bySite.set(siteId, said);
    said.bytes += held.lengthBytes;
    said.held.push(held);
  }
  let count = 0;
  let bytes = [...bySite.values()].reduce((sum, said) => sum + said.bytes, 0);
  for (const said of [...bySite.values()].toSorted((one, other) => other.bytes - one.bytes)) {
    if (bytes <= mostBytes) break;
    bytes -= said.bytes;
    count += said.held.length;
    for (const [logId, all] of Map.groupBy(said.held, (held) => held.logId))
      await forgetEntries(
        store,
        logId,
        all.map(({ seq }) => seq),
      );
  }
  return count;
}
