/** The slices that go to one holder in a turn: whoever runs with it takes the next one, as it is then. */
import type { SiteId } from "#protocol/ids.ts";
import type { LiveSets } from "./live-sets.ts";
import type { SliceToSend } from "./owner-run.ts";
import type { LedgerReader } from "./replication-ports.ts";

export interface HolderSlicesComponents {
  readonly self: SiteId;
  readonly ledger: Pick<LedgerReader, "statement" | "entry">;
  readonly liveSets: Pick<LiveSets, "sign">;
  /** Whether the holder has given its receipt for all there is now. */
  readonly isStored: (holder: SiteId, slice: number) => boolean;
}

export class HolderSlices {
  readonly holder: SiteId;
  readonly #components: HolderSlicesComponents;
  readonly #left: number[];

  constructor(components: HolderSlicesComponents, init: { holder: SiteId; slices: readonly number[] }) {
    this.#components = components;
    this.holder = init.holder;
    this.#left = [...init.slices];
  }

  /** Those that turn out to be there are left out. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SliceToSend> {
    const { self, ledger, liveSets, isStored } = this.#components;
    for (let slice = this.#left.shift(); slice !== undefined; slice = this.#left.shift()) {
      const placement = ledger.statement(self, "placement", `${slice}`);
      if (placement?.statement.holders.includes(this.holder) !== true) continue;
      const namingEntry = await ledger.entry(placement.logId, placement.seq);
      const signed = await liveSets.sign(slice);
      if (namingEntry !== undefined && !isStored(this.holder, slice)) yield { ...signed, namingEntry };
    }
  }

  /** About how much nobody has begun to send: by how much the live sets have grown since the holder's receipts. */
  leftBytes(): number {
    const { self, ledger } = this.#components;
    const growthBytes = this.#left.map((slice) => {
      const bytes = ledger.statement(self, "live-set", `${slice}`)?.statement.bytes ?? 0;
      return bytes - (ledger.statement(this.holder, "receipt", `${self}/${slice}`)?.statement.bytes ?? 0);
    });
    return growthBytes.reduce((sum, bytes) => sum + Math.max(0, bytes), 0);
  }
}
