/**
 * Fetches this site's own primes when somebody wants to read them: what is wanted at one moment goes together, and one prime is under way
 * once. What nobody has is not asked for again for a while.
 */
import type { PrimeId } from "#protocol/ids.ts";
import { type HeldPrimeComponents, fetchHeld } from "./held-primes.ts";

/** When others are still being found, after the start and when one comes: what nobody gives is asked for again for so long. */
const FINDING_MS = 60_000;
const AGAIN_MS = 2_000;
/** So long at the most, though others come and go all the time. */
const MOST_MS = 5 * 60_000;
/** How long it is believed that nobody has a prime. */
const LACKING_MS = 60_000;
/** Of those that nobody has, remembered. */
const LACKING_COUNT = 10_000;

interface Round {
  readonly ids: Set<PrimeId>;
  readonly fetched: Promise<void>;
}

export class WantedPrimes {
  readonly #components: HeldPrimeComponents;
  /** Under way. */
  readonly #coming = new Map<PrimeId, Promise<void>>();
  /** By id when it was found out. */
  readonly #lacking = new Map<PrimeId, number>();
  /** Since when others are being found. */
  #findingMs: number;
  #next: Round | undefined;

  constructor(components: HeldPrimeComponents) {
    this.#components = components;
    this.#findingMs = components.clock.elapsedMs();
  }

  /** Another site can be asked, or who holds what is known better than before. */
  othersCame(): void {
    this.#findingMs = this.#components.clock.elapsedMs();
    this.#lacking.clear();
  }

  /** Resolves when those that anybody has are here and durable. Throws what the store throws. */
  async fetch(ids: readonly PrimeId[]): Promise<void> {
    const nowMs = this.#components.clock.elapsedMs();
    const wanted = ids.filter((id) => nowMs - (this.#lacking.get(id) ?? Number.NEGATIVE_INFINITY) > LACKING_MS);
    await Promise.all(new Set(wanted.map((id) => this.#coming.get(id) ?? this.#add(id))));
  }

  #add(id: PrimeId): Promise<void> {
    const next = (this.#next ??= this.#begin());
    next.ids.add(id);
    this.#coming.set(id, next.fetched);
    return next.fetched;
  }

  #begin(): Round {
    const ids = new Set<PrimeId>();
    // Whoever asks in this turn of the event loop goes along.
    const fetched = Promise.resolve().then(() => {
      this.#next = undefined;
      return this.#fetchAll(ids);
    });
    return { ids, fetched };
  }

  /** Who is alone waits for nobody. */
  #hasOthers(): boolean {
    const { self, sites } = this.#components;
    return sites.sites().some((site) => site !== self);
  }

  async #fetchAll(ids: ReadonlySet<PrimeId>): Promise<void> {
    const wanted = new Set(ids);
    try {
      const { clock } = this.#components;
      const mostMs = clock.elapsedMs() + MOST_MS;
      const areFinding = (): boolean => clock.elapsedMs() < Math.min(this.#findingMs + FINDING_MS, mostMs);
      await fetchHeld(this.#components, wanted);
      while (wanted.size > 0 && this.#hasOthers() && areFinding()) {
        await clock.sleep(AGAIN_MS);
        await fetchHeld(this.#components, wanted);
      }
      for (const id of wanted) this.#lacking.set(id, clock.elapsedMs());
    } finally {
      for (const id of ids) this.#coming.delete(id);
      for (const id of this.#lacking.keys()) {
        if (this.#lacking.size <= LACKING_COUNT) break;
        this.#lacking.delete(id);
      }
    }
  }
}
