/**
 * Requests for another recovery key, over time: since when each stands by this site's own clock, and whether anybody with the kit has
 * objected. Both are noted durably, so that the lock is waited out whatever becomes of entries and machines. docs/specs/membership.md, "A lost kit"
 */
import * as v from "valibot";
import { LOCK_MS } from "#ledger/drop-plan.ts";
import {
  type KitRequest,
  type KitRequestComponents,
  doesStand,
  hasObjection,
  kitRequests,
} from "#ledger/kit-requests.ts";
import type { Wish } from "#ledger/membership-steps.ts";
import type { HeldClock } from "#node/replication/held-clock.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { SiteId } from "#protocol/ids.ts";

export interface KitRequestsComponents extends KitRequestComponents {
  readonly store: Pick<PrimeStore, "appendFacts" | "facts">;
  readonly heldClock: Pick<HeldClock, "note" | "state">;
}

/** A request as this site sees it. */
export interface SeenKitRequest extends KitRequest {
  readonly isObjected: boolean;
  /** How long it is yet to be waited for; undefined while it does not stand, or is over. */
  readonly leftMs: number | undefined;
}

const KIND = "kit-request";
const schema = v.strictObject({ since: v.nullable(v.pipe(v.number(), v.safeInteger())), objected: v.boolean() });
type Note = v.InferOutput<typeof schema>;
const NO_NOTE: Note = { since: null, objected: false };

export class KitRequests {
  readonly #components: KitRequestsComponents;
  readonly #self: SiteId;
  readonly #queue = new SerialQueue();
  /** By the hash of the link. */
  readonly #notes = new Map<string, Note>();

  private constructor(components: KitRequestsComponents, { self }: { self: SiteId }) {
    this.#components = components;
    this.#self = self;
  }

  static async open(components: KitRequestsComponents, init: { self: SiteId }): Promise<KitRequests> {
    const requests = new KitRequests(components, init);
    for await (const { key, value } of components.store.facts(KIND))
      requests.#notes.set(key, readFactValue(value, schema, KIND));
    return requests;
  }

  /** Those that no roster has. */
  list(): SeenKitRequest[] {
    const { nowMs } = this.#components.heldClock.state;
    const open = kitRequests(this.#components).filter(({ isAgreed }) => !isAgreed);
    return open.map((request) => {
      const { since, objected } = this.#noteOf(request.link.hash);
      const leftMs = since === null || objected ? undefined : Math.max(0, since + LOCK_MS - nowMs);
      return { ...request, isObjected: objected, leftMs };
    });
  }

  /** The rosters that this site wishes for what its people have approved, or asked for. */
  wishes(): Wish[] {
    if (this.#components.heldClock.state.isSuspect) return [];
    return this.list()
      .filter((request) => doesStand(request) && request.leftMs === 0)
      .filter(({ siteId, approvers }) => siteId === this.#self || approvers.includes(this.#self))
      .map(({ siteId, link }) => ({ action: "rekey", siteId, link }));
  }

  /** Notes what has changed. To be called after each change that matters, and now and then. */
  look(): Promise<void> {
    return this.#queue.run(async () => {
      const requests = kitRequests(this.#components);
      for (const request of requests) {
        const { since, objected } = this.#noteOf(request.link.hash);
        const isObjected = objected || hasObjection(this.#components, request);
        if (!doesStand(request)) await this.#note(request.link.hash, { since: null, objected: isObjected });
        else if (since !== null) await this.#note(request.link.hash, { since, objected: isObjected });
        else {
          const { nowMs, fact } = this.#components.heldClock.note();
          await this.#note(request.link.hash, { since: nowMs, objected: isObjected }, fact);
        }
      }
      // One that is asked for again later waits again.
      const counting = new Set(requests.map(({ link }) => link.hash));
      for (const [hash, { objected }] of this.#notes)
        if (!counting.has(hash)) await this.#note(hash, { since: null, objected });
    });
  }

  #noteOf(hash: string): Note {
    return this.#notes.get(hash) ?? NO_NOTE;
  }

  async #note(hash: string, note: Note, ...facts: readonly SiteFact[]): Promise<void> {
    const former = this.#noteOf(hash);
    if (former.since === note.since && former.objected === note.objected) return;
    await this.#components.store.appendFacts([{ kind: KIND, key: hash, value: encodeCbor(note) }, ...facts]);
    this.#notes.set(hash, note);
  }
}
