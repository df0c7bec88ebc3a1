/**
 * Gets back what this site's own sets were when it signed its newest live sets, from holders: its disk is older than what it has told
 * others. Only when all is here again may it sign, or what it does not know of would look as if it were left out.
 * docs/specs/replication.md, Regaining
 */
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { SEVERAL_KIND, type StatementOf } from "#ledger/statements.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { type FetchedComponents, fetchOwn, isPeersFault } from "./fetch-own.ts";
import { HolderChannel, expectAnswer } from "./holder-channel.ts";
import type { OwnPrimes } from "./live-sets.ts";
import { allSlices } from "./all-slices.ts";
import { hashOfSet } from "./prime-set-hash.ts";
import { replicateProtocol } from "./replicate-messages.ts";
import type { LedgerReader } from "./replication-ports.ts";

/** As a reason to sign nothing: `OwnLog.wasLedBack`. */
export const LED_BACK = "led-back";

export interface RegainingComponents extends FetchedComponents {
  readonly peers: Pick<Peers, "open">;
  readonly ledger: Pick<LedgerReader, "logsOf" | "statement">;
  readonly store: Pick<PrimeStore, "keep" | "putFor">;
  readonly own: Pick<OwnPrimes, "slice">;
  readonly rng: Rng;
  /** All is here again that can be had. Whether that is so: somebody who was not asked yet may know of more. */
  readonly regained: () => Promise<boolean>;
}

type LiveSet = StatementOf<"live-set">;

/** What a holder has of a slice. */
interface HeldSlice {
  /** Ascending. */
  readonly ids: readonly PrimeId[];
  /** Those that are not in this site's own set. */
  readonly extras: readonly PrimeId[];
  readonly leftOut: ReadonlySet<PrimeId>;
}

export class Regaining {
  readonly #components: RegainingComponents;
  /** Hashes of live sets of which all is here again, by slice. */
  readonly #here = new Map<number, string>();
  /** Who has given all that it has of a live set that nobody says to have whole, by the set's slice and hash. */
  readonly #asked = new Map<string, Set<SiteId>>();

  constructor(components: RegainingComponents) {
    this.#components = components;
  }

  /** One turn; whether all is here again. What is missing waits for holders that are not reached. */
  async turn(signal: AbortSignal): Promise<boolean> {
    const { own, regained } = this.#components;
    for (const slice of allSlices) {
      const liveSet = this.#liveSet(slice);
      if (liveSet !== undefined && hashOfSet((await own.slice(slice)).ids) === liveSet.hash) this.#isRegained(liveSet);
    }
    for (const holder of this.waitsFor()) await this.#askFor(holder, signal);
    // What the ledger has learnt meanwhile counts too.
    return this.#missing().length === 0 && regained();
  }

  /** Holders that are yet to be asked. */
  waitsFor(): SiteId[] {
    return [...new Set(this.#missing().flatMap((slice) => this.#unasked(slice)))];
  }

  #liveSet(slice: number): LiveSet | undefined {
    return this.#components.ledger.statement(this.#components.self, "live-set", `${slice}`)?.statement;
  }

  #isRegained({ slice, hash }: LiveSet): void {
    this.#here.set(slice, hash);
  }

  #missing(): number[] {
    return allSlices.filter((slice) => {
      const liveSet = this.#liveSet(slice);
      return liveSet !== undefined && this.#here.get(slice) !== liveSet.hash && this.#unasked(slice).length > 0;
    });
  }

  /** By what is known now: somebody may come to be known that has it, after all others were asked. */
  #unasked(slice: number): SiteId[] {
    const asked = this.#askedFor(this.#liveSet(slice)!);
    return this.#holdersOf(slice).filter((site) => !asked.has(site));
  }

  #askedFor({ slice, hash }: LiveSet): Set<SiteId> {
    const key = `${slice} ${hash}`;
    const asked = this.#asked.get(key) ?? new Set();
    this.#asked.set(key, asked);
    return asked;
  }

  /**
   * Those that say to have all of the newest live set; when nobody does, all that the placement names. So with those that a steward has named since
   * and that have anything of the slice, whether or not that steward is still here.
   */
  #holdersOf(slice: number): SiteId[] {
    const { self, ledger, sites } = this.#components;
    const subject = `${self}/${slice}`;
    const named = ledger.statement(self, "placement", `${slice}`)?.statement.holders ?? [];
    const further = named.flatMap((site) => ledger.statement(site, "steward", subject)?.statement.holders ?? []);
    const filled = further.filter((site) => ledger.statement(site, "receipt", subject) !== undefined);
    const holders = [...new Set([...named, ...filled])];
    const here = holders.filter((site) => site !== self && sites.sites().includes(site));
    const whole = here.filter((site) => this.#hasReceipt(site, slice));
    return whole.length > 0 ? whole : here;
  }

  #hasReceipt(holder: SiteId, slice: number): boolean {
    const { self, ledger } = this.#components;
    const subject = `${self}/${slice}`;
    // Who says that it has lost some of it waits for this site to send that again.
    if (ledger.statement(holder, "loss", subject) !== undefined) return false;
    return ledger.statement(holder, "receipt", subject)?.statement.hash === this.#liveSet(slice)?.hash;
  }

  async #askFor(holder: SiteId, signal: AbortSignal): Promise<void> {
    const { clock, peers, sites, rng, onFailure } = this.#components;
    const peer = sites.peerOf(holder);
    if (peer === undefined) return;
    try {
      const channel = await peers.open(peer, replicateProtocol, signal);
      try {
        using asked = new HolderChannel({ channel, clock, rng }, { signal });
        for (const slice of allSlices) {
          if (!this.#missing().includes(slice) || !this.#unasked(slice).includes(holder)) continue;
          const liveSet = this.#liveSet(slice)!;
          const held = await this.#heldSlice(asked, slice);
          if (held === undefined) continue;
          if (this.#hasReceipt(holder, slice)) await this.#keepVerified(held, liveSet);
          else if (await this.#fetchUnverified(held, holder, liveSet, signal)) this.#askedFor(liveSet).add(holder);
        }
        await channel.close();
      } finally {
        channel.abort();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isPeersFault(error)) throw error;
      onFailure?.(holder, error);
    }
  }

  /** Undefined when the holder does not let itself be asked. */
  async #heldSlice(holder: HolderChannel, slice: number): Promise<HeldSlice | undefined> {
    const { self, own } = this.#components;
    const owner = Buffer.from(self, "hex");
    // Without the placement: who was named by a steward is not in it.
    const reserved = await holder.ask({ kind: "reserve", owner, slice, bytes: 0 });
    if (reserved.kind === "refused") return undefined;
    expectAnswer(reserved, "granted");
    const { ids } = await own.slice(slice);
    const { missing, extras } = await holder.compare(slice, ids);
    const leftOut = new Set(expectAnswer(await holder.ask({ kind: "omitted" }), "omitted").ids);
    const lacking = new Set(missing);
    return { ids: [...ids.filter((id) => !lacking.has(id)), ...extras].toSorted(), extras, leftOut };
  }

  /** Only what this site has signed itself: a holder that lies adds nothing. The bytes are fetched like what was lost. */
  async #keepVerified({ ids, extras, leftOut }: HeldSlice, liveSet: LiveSet): Promise<void> {
    const { self, store } = this.#components;
    // Notes may be of an earlier live set, where the holder has crashed before it noted what the newest leaves out.
    for (const gone of [leftOut, new Set<PrimeId>()]) {
      const signed = ids.filter((id) => !gone.has(id));
      if (signed.length !== liveSet.count || hashOfSet(signed) !== liveSet.hash) continue;
      const kept = extras.filter((id) => !gone.has(id));
      await store.keep(self, kept);
      return this.#isRegained(liveSet);
    }
  }

  /** What nobody had whole cannot be verified: of that only what comes is kept, and no more than was signed. */
  async #fetchUnverified(held: HeldSlice, holder: SiteId, liveSet: LiveSet, signal: AbortSignal): Promise<boolean> {
    const wanted = new Set(held.extras).difference(held.leftOut);
    if (wanted.size > this.#mostCount(holder, liveSet))
      throw new CostorError("peer-misbehaved", `it has more of slice ${liveSet.slice} than was signed`);
    return fetchOwn(this.#components, holder, wanted, signal);
  }

  /** The holder may not have heard yet that the newest live set is smaller than those before. */
  #mostCount(holder: SiteId, { slice }: LiveSet): number {
    const { self, ledger } = this.#components;
    const signed = ledger
      .logsOf(self)
      .flatMap((state) =>
        [...state.seqs("live-set"), ...state.seqs(SEVERAL_KIND)]
          .flatMap((seq) => state.held(seq)!.statements)
          .flatMap((said) => (said.kind === "live-set" && said.slice === slice ? said.count : [])),
      );
    const received = ledger.statement(holder, "receipt", `${self}/${slice}`)?.statement.count ?? 0;
    return Math.max(received, ...signed);
  }
}
