/**
 * Of sites that may not speak, such as guests that were let out, so much is kept that they can come back, and no more: a member may let in one
 * after the other, and each may say as much as any. docs/specs/ledger.md, Admission
 */
import { isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Log } from "./entry.ts";
import { type KeptLedger, forgetEntries } from "./kept-ledger.ts";
import type { LedgerStore } from "./ledger-store.ts";
import type { HeldEntry } from "./log-state.ts";

export interface SilentInit {
  /** Of what this site has written itself it needs all to write on. */
  readonly self?: SiteId | undefined;
  readonly isSilent: (log: Log) => boolean;
  readonly mostBytes?: number;
}

/**
 * Takes out of the store what the sites have said that have said most, until the rest has room. Who is let in again gives it once more. How many
 * entries that is. What the store cannot write now is for the next time.
 */
export async function forgetSilent(
  store: LedgerStore,
  { logs, entries }: Pick<KeptLedger, "logs" | "entries">,
  { self, isSilent, mostBytes = limits.ledgerSilentBytes }: SilentInit,
): Promise<number> {
  const silent = logs.filter((log) => log.certificate.siteId !== self && isSilent(log));
  const sites = new Map(silent.map(({ id, certificate }) => [id, certificate.siteId]));
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
    const byLog = Map.groupBy(said.held, ({ logId }) => logId);
    try {
      for (const [logId, all] of byLog) await forgetEntries(store, logId, new Set(all.map(({ seq }) => seq)));
    } catch (error) {
      if (!isCostorError(error)) throw error;
      break;
    }
  }
  return count;
}
