/** How much of one site a replica takes, so that none costs its peers more memory and disk. docs/specs/ledger.md, "Admission" */
import { limits } from "#protocol/limits.ts";
import { RETIRE_KIND } from "./retire.ts";

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
