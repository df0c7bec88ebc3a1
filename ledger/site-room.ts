/** How much of one site a replica takes, so that none costs its peers more memory and disk. docs/specs/ledger.md, "Admission" */
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Ledger } from "./ledger.ts";
import { RETIRE_KIND } from "./retire.ts";

/** From here on an entry may have no room at one replica that had it at another. */
const FULL_RATIO = 0.99;

/** Whether of a site replicas may have different entries or logs: what comes first has its room. */
export const hasUsedItsRoom = (ledger: Pick<Ledger, "logsOf" | "usedRatio">, siteId: SiteId): boolean =>
  ledger.logsOf(siteId).length >= limits.ledgerLogsPerSiteCount || ledger.usedRatio(siteId) >= FULL_RATIO;

export interface Sized {
  readonly kind: string;
  readonly lengthBytes: number;
}

export class SiteRoom {
  #inForceCount = 0;
  #inForceBytes = 0;
  /** Withdrawn ones too, as long as they are in the store. */
  #keptCount = 0;
  #keptBytes = 0;

  /** Whether one more entry may come. A retire makes room, so it has some of its own. */
  hasFor({ kind, lengthBytes }: Sized): boolean {
    const [retiresCount, retiresBytes] =
      kind === RETIRE_KIND ? [limits.ledgerRetiresPerSiteCount, limits.ledgerRetiresPerSiteBytes] : [0, 0];
    return (
      this.#inForceCount < limits.ledgerEntriesPerSiteCount + retiresCount &&
      this.#inForceBytes + lengthBytes <= limits.ledgerPerSiteBytes + retiresBytes &&
      this.#keptCount < limits.ledgerKeptPerSiteCount &&
      this.#keptBytes + lengthBytes <= limits.ledgerKeptPerSiteBytes
    );
  }

  /** The part of it that is used, from 0 to 1 and a little. */
  get usedRatio(): number {
    return Math.max(
      this.#inForceCount / limits.ledgerEntriesPerSiteCount,
      this.#inForceBytes / limits.ledgerPerSiteBytes,
      this.#keptCount / limits.ledgerKeptPerSiteCount,
      this.#keptBytes / limits.ledgerKeptPerSiteBytes,
    );
  }

  kept({ lengthBytes }: Sized): void {
    this.#keptCount++;
    this.#keptBytes += lengthBytes;
  }

  cameInForce({ lengthBytes }: Sized): void {
    this.#inForceCount++;
    this.#inForceBytes += lengthBytes;
  }

  wentOutOfForce({ lengthBytes }: Sized): void {
    this.#inForceCount--;
    this.#inForceBytes -= lengthBytes;
  }

  forgotten(count: number, bytes: number): void {
    this.#keptCount -= count;
    this.#keptBytes -= bytes;
  }
}
