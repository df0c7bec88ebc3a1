/** Damage on record that a rebuild from damaged segments would forget: it would find bad copies of primes and take them for good ones. */
import type { IndexReplay } from "./index-salvage.ts";
import type { PlacedRecord } from "./projection.ts";
import { type DamagedStretch, decodeQuarantine, quarantineRecords } from "./record-body.ts";
import { type NewRecord, recordKind } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export class QuarantineReplay implements IndexReplay {
  readonly #index: StoreIndex;
  readonly #found = new Set<string>();

  constructor(index: StoreIndex) {
    this.#index = index;
  }

  async apply(records: readonly PlacedRecord[]): Promise<void> {
    for (const { kind, body } of records)
      if (kind === recordKind.quarantine)
        for (const stretch of decodeQuarantine(body!)) this.#found.add(nameOf(stretch));
  }

  async records(removed: ReadonlySet<number>): Promise<NewRecord[]> {
    const lost = (await this.#index.quarantined()).filter(
      (stretch) => !removed.has(stretch.segment) && !this.#found.has(nameOf(stretch)),
    );
    return quarantineRecords(lost);
  }
}

const nameOf = ({ segment, offset, lengthBytes, id }: DamagedStretch): string =>
  `${segment} ${offset} ${lengthBytes} ${id ?? ""}`;
