/**
 * How much a holder keeps for others: what it offers in all, and to each owner. A reservation holds room for what is to come, so
 * that two owners are not promised the same bytes; it ends with its run.
 */
import type { LedgerReader } from "./replication-ports.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";

export interface HoldingLimits {
  /** For all others together. */
  readonly offeredBytes: number;
  /** For each owner. */
  readonly ownerBytes: number;
}

interface QuotaComponents {
  readonly self: SiteId;
  readonly ledger: Pick<LedgerReader, "statement">;
  readonly store: Pick<PrimeStore, "keptTotals" | "keptSlices" | "stats">;
  /** Asked each time: people change it while the site runs. */
  readonly holdingLimits: () => Promise<HoldingLimits>;
}

export class HolderQuota {
  readonly #components: QuotaComponents;
  readonly #reservations = new Set<Reservation>();
  readonly #queue = new SerialQueue();

  constructor(components: QuotaComponents) {
    this.#components = components;
  }

  /** Throws `quota-exceeded`; `too-many-requests` when it fills as many owners for the first time as it may. */
  reserve(owner: SiteId, slice: number, sliceBytes: number): Promise<Reservation> {
    return this.#queue.run(() => this.#reserve(owner, slice, sliceBytes));
  }

  async #reserve(owner: SiteId, slice: number, sliceBytes: number): Promise<Reservation> {
    const { ledger, self, store } = this.#components;
    const receipt = ledger.statement(self, "receipt", `${owner}/${slice}`)?.statement;
    const isFirstFill = receipt === undefined;
    const growthBytes = await this.#growthBytes(owner, slice, sliceBytes);
    const { freeBytes, reserveBytes } = await store.stats();
    if (growthBytes > Math.max(0, freeBytes - reserveBytes))
      throw new CostorError("quota-exceeded", "this site's disk has no room for the slice");
    // Who only asks, or sends less than before, needs no room.
    if (growthBytes > 0) await this.#requireRoom(owner, growthBytes);
    const filling = new Set([...this.#reservations].filter((other) => other.isFirstFill).map((other) => other.owner));
    if (isFirstFill && !filling.has(owner) && filling.size >= limits.firstFillsCount)
      throw new CostorError("too-many-requests", "this site fills other owners for the first time now");
    const reservation = new Reservation(
      { owner, isFirstFill, growthBytes, sliceBytes },
      (bytes) => this.#requireRoom(owner, bytes, reservation),
      () => this.#reservations.delete(reservation),
    );
    this.#reservations.add(reservation);
    return reservation;
  }

  /** By how much what is here of the slice has to grow. */
  async #growthBytes(owner: SiteId, slice: number, sliceBytes: number): Promise<number> {
    const kept = (await this.#components.store.keptSlices(owner)).find((one) => one.slice === slice);
    return Math.max(0, sliceBytes - (kept?.bytes ?? 0));
  }

  async #requireRoom(owner: SiteId, bytes: number, own?: Reservation): Promise<void> {
    const { self, store, holdingLimits } = this.#components;
    const { offeredBytes, ownerBytes } = await holdingLimits();
    let [ownersBytes, allBytes] = [bytes, bytes];
    const add = (site: SiteId, added: number): void => {
      allBytes += added;
      if (site === owner) ownersBytes += added;
    };
    for (const total of await store.keptTotals()) if (total.site !== self) add(total.site, total.bytes);
    for (const other of this.#reservations) if (other !== own) add(other.owner, other.growthBytes);
    if (ownersBytes > ownerBytes)
      throw new CostorError("quota-exceeded", `this site keeps ${ownerBytes} bytes for this owner`);
    if (allBytes > offeredBytes)
      throw new CostorError("quota-exceeded", `this site offers ${offeredBytes} bytes to all others`);
  }
}

interface ReservationInit {
  readonly owner: SiteId;
  readonly isFirstFill: boolean;
  readonly growthBytes: number;
  readonly sliceBytes: number;
}

/** Room for what a run brings of one slice. */
export class Reservation implements Disposable {
  readonly owner: SiteId;
  readonly isFirstFill: boolean;
  readonly #requireRoom: (bytes: number) => Promise<void>;
  readonly #end: () => void;
  #growthBytes: number;
  #leftBytes: number;

  constructor(init: ReservationInit, requireRoom: (bytes: number) => Promise<void>, end: () => void) {
    this.owner = init.owner;
    this.isFirstFill = init.isFirstFill;
    this.#growthBytes = init.growthBytes;
    this.#leftBytes = init.sliceBytes;
    this.#requireRoom = requireRoom;
    this.#end = end;
  }

  /** What of it is not durable yet, as far as is known. */
  get growthBytes(): number {
    return this.#growthBytes;
  }

  /** Has so much kept by `work`; several may go on at once. For others it is still to come until then. Throws `quota-exceeded`. */
  async keep<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (bytes > this.#leftBytes) throw new CostorError("quota-exceeded", "more comes than was reserved");
    this.#leftBytes -= bytes;
    await this.#requireRoom(bytes);
    try {
      return await work();
    } finally {
      this.#growthBytes = Math.max(0, this.#growthBytes - bytes);
    }
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}
