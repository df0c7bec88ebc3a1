/**
 * What a holder does for owners that are silent: it audits its co-holders, and where it is the steward it finds further holders and
 * sends them what it has. It removes nobody. docs/specs/replication.md, Stewards
 */
import type { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import { copiesOf } from "#ledger/copies.ts";
import type { Clock } from "#ledger/clock.ts";
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import type { StatementOf } from "#ledger/statements.ts";
import { type SilentOwner, isSilentOwner, stewardedSlices } from "#ledger/steward.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { Auditor } from "./auditor.ts";
import { BackOff } from "./back-off.ts";
import type { Omissions } from "./omissions.ts";
import { OwnerRun, type SignedSlice, type SliceToSend } from "./owner-run.ts";
import { allSlices } from "./all-slices.ts";
import type { PlacementKeeper } from "./placement-keeper.ts";
import { hashOfSet } from "./prime-set-hash.ts";
import { type Refusals, cannotHold } from "./refusals.ts";
import { replicateProtocol } from "./replicate-messages.ts";
import type { KeptPrimes, LedgerReader, OwnEntries, Sites } from "./replication-ports.ts";
import type { Silence } from "./silence.ts";

export interface StewardComponents {
  readonly self: SiteId;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly peers: Pick<Peers, "open">;
  readonly sites: Sites;
  readonly ledger: LedgerReader;
  readonly entries: OwnEntries;
  readonly store: Pick<PrimeStore, "get" | "getMany" | "keptTotals">;
  readonly kept: Pick<KeptPrimes, "slice">;
  readonly omissions: Pick<Omissions, "notes">;
  readonly silence: Pick<Silence, "of">;
  readonly placement: PlacementKeeper;
  readonly auditor: Auditor;
  readonly refusals: Pick<Refusals, "refused">;
  readonly limit: BandwidthLimit;
  readonly suspicion: () => string | undefined;
  readonly mayMove: () => boolean;
  /** As in `ReplicationComponents`. */
  readonly catchUp: (holder: SiteId, signal: AbortSignal) => Promise<void>;
  readonly onFailure?: ((site: SiteId, error: unknown) => void) | undefined;
}

const DAY_MS = 24 * 3_600_000;
/** A holder that was not heard of for so long is not live. */
const LIVE_SILENT_MS = DAY_MS;

export class StewardDuty {
  readonly #components: StewardComponents;
  readonly #backOff: BackOff;
  /** By owner and holder, on the clock that never jumps. */
  readonly #auditedMs = new Map<string, number>();
  /** Since when an owner is back, by the clock that never jumps. */
  readonly #backMs = new Map<SiteId, number>();

  constructor(components: StewardComponents) {
    this.#components = components;
    this.#backOff = new BackOff(components);
  }

  async turn(signal: AbortSignal): Promise<void> {
    const { self, store, suspicion } = this.#components;
    if (suspicion() !== undefined) return;
    for (const { site: owner } of await store.keptTotals()) {
      signal.throwIfAborted();
      if (owner === self) continue;
      const silent = this.#silentOwner(owner);
      if (isSilentOwner(silent)) await this.#actFor(silent, signal);
      else await this.#withdraw(owner);
    }
  }

  #silentOwner(owner: SiteId): SilentOwner {
    const { ledger, silence, sites } = this.#components;
    const { role } = sites.roleOf(owner);
    const table = allSlices.map((slice) => ledger.statement(owner, "placement", `${slice}`)?.statement.holders ?? []);
    return { owner, silentMs: role === "member" || role === "guest" ? silence.of(owner) : 0, table };
  }

  async #actFor(silent: SilentOwner, signal: AbortSignal): Promise<void> {
    const { self, entries, ledger, placement, silence, sites } = this.#components;
    const { owner } = silent;
    this.#backMs.delete(owner);
    await this.#auditCoHolders(silent, signal);
    const here = new Set(sites.sites());
    const isLive = (site: SiteId): boolean => site === self || (here.has(site) && silence.of(site) < LIVE_SILENT_MS);
    const whole = allSlices.map((slice) => this.#newestCopies(silent, slice, isLive));
    const slices = stewardedSlices(silent, self, (site, slice) => whole[slice]!.has(site));
    if (slices.length === 0) return;
    const added = placement.planFor(owner);
    for (const slice of slices) {
      const before = ledger.statement(self, "steward", `${owner}/${slice}`)?.statement.holders ?? [];
      // Also those that the owner has named and did not come to fill, or to mend.
      const empty = silent.table[slice]!.filter((site) => isLive(site) && !whole[slice]!.has(site));
      const further = [...added[slice]!, ...empty].filter((site) => site !== self && !before.includes(site));
      if (further.length > 0)
        await entries.write({ kind: "steward", owner, slice, holders: [...before, ...further].sort() });
    }
    await this.#sendTo(owner, slices, signal);
  }

  /** Of the live ones that the owner has named, those whose copies count for the newest generation of all that do. */
  #newestCopies({ owner, table }: SilentOwner, slice: number, isLive: (site: SiteId) => boolean): Set<SiteId> {
    const named = table[slice]!.filter(isLive);
    const copies = copiesOf(this.#components.placement.stateOf(owner, slice, named));
    const newest = Math.max(0, ...copies.map(({ generation }) => generation));
    return new Set(copies.flatMap(({ generation, holder }) => (generation === newest ? holder.siteId : [])));
  }

  /** Runs with each of the further holders that does not have what this site has. */
  async #sendTo(owner: SiteId, slices: readonly number[], signal: AbortSignal): Promise<void> {
    const { self, ledger, mayMove } = this.#components;
    const lacking = new Map<SiteId, number[]>();
    for (const slice of slices) {
      const subject = `${owner}/${slice}`;
      const own = ledger.statement(self, "receipt", subject)?.statement;
      for (const holder of ledger.statement(self, "steward", subject)?.statement.holders ?? []) {
        const receipt = ledger.statement(holder, "receipt", subject)?.statement;
        const hasLoss = ledger.statement(holder, "loss", subject) !== undefined;
        if (own === undefined || (receipt !== undefined && !isBehind(receipt, own, hasLoss))) continue;
        lacking.set(holder, [...(lacking.get(holder) ?? []), slice]);
      }
    }
    for (const [holder, of] of lacking)
      if (mayMove() && !this.#backOff.waits(holder)) await this.#runWith(holder, owner, of, signal);
  }

  async #runWith(holder: SiteId, owner: SiteId, slices: readonly number[], signal: AbortSignal): Promise<void> {
    const { peers, sites, catchUp, suspicion, mayMove, refusals } = this.#components;
    const peer = sites.peerOf(holder);
    if (peer === undefined) return;
    try {
      const channel = await peers.open(peer, replicateProtocol, signal);
      await catchUp(holder, signal);
      // What it knows may tell that this site must sign nothing now.
      if (suspicion() !== undefined) {
        channel.abort();
        return;
      }
      const run = new OwnerRun({ ...this.#components, channel }, { owner, holder, mayGoOn: mayMove, signal });
      const reports = await run.run(this.#toSend(owner, slices));
      if (reports.some(({ refusal }) => cannotHold(refusal))) refusals.refused(holder);
      if (reports.some(({ end }) => end === "refused")) this.#backOff.failed(holder);
      else this.#backOff.succeeded(holder);
    } catch (error) {
      if (cannotHold(error)) refusals.refused(holder);
      this.#failed(holder, error, signal);
    }
  }

  async *#toSend(owner: SiteId, slices: readonly number[]): AsyncGenerator<SliceToSend> {
    const { self, ledger } = this.#components;
    for (const slice of slices) {
      const steward = ledger.statement(self, "steward", `${owner}/${slice}`);
      const namingEntry = steward && (await ledger.entry(steward.logId, steward.seq));
      const signed = await this.#receivedSlice(owner, slice);
      if (namingEntry !== undefined && signed !== undefined) yield { ...signed, namingEntry };
    }
  }

  /** What this site's receipt is for: what it keeps, but for what the owner left out. Undefined where that is not all here. */
  async #receivedSlice(owner: SiteId, slice: number): Promise<SignedSlice | undefined> {
    const { self, ledger, kept, omissions } = this.#components;
    const receipt = ledger.statement(self, "receipt", `${owner}/${slice}`);
    const entry = receipt && (await ledger.entry(receipt.logId, receipt.seq));
    if (receipt === undefined || entry === undefined) return undefined;
    const { bytes, hash, generation, snapshots }: StatementOf<"receipt"> = receipt.statement;
    const omitted = new Set<PrimeId>();
    for await (const note of omissions.notes(owner, slice)) for (const id of note.ids ?? []) omitted.add(id);
    const ids = (await kept.slice(owner, slice)).filter((id) => !omitted.has(id));
    return hashOfSet(ids) === hash ? { slice, ids, bytes, hash, generation, snapshots, entry } : undefined;
  }

  /** Once a day, on the slices for which both have given the same receipt. */
  async #auditCoHolders({ owner, table }: SilentOwner, signal: AbortSignal): Promise<void> {
    const { self, auditor, clock, ledger } = this.#components;
    const nowMs = clock.elapsedMs();
    for (const holder of new Set(table.flat())) {
      const key = `${owner} ${holder}`;
      if (holder === self || nowMs - (this.#auditedMs.get(key) ?? Number.NEGATIVE_INFINITY) < DAY_MS) continue;
      const common = allSlices.filter((slice) => {
        const hashOf = (site: SiteId) => ledger.statement(site, "receipt", `${owner}/${slice}`)?.statement.hash;
        return hashOf(self) !== undefined && hashOf(self) === hashOf(holder);
      });
      const parts = common.map((slice) => ({
        count: ledger.statement(self, "receipt", `${owner}/${slice}`)!.statement.count,
        ids: async () => (await this.#receivedSlice(owner, slice))?.ids ?? [],
      }));
      try {
        await auditor.audit(holder, owner, parts, signal);
        this.#auditedMs.set(key, nowMs);
      } catch (error) {
        this.#failed(holder, error, signal);
      }
    }
  }

  /** When the owner is back for a day: it has seen the steward's holders, and taken them or not. */
  async #withdraw(owner: SiteId): Promise<void> {
    const { clock, entries, ledger, self } = this.#components;
    const backMs = this.#backMs.get(owner) ?? clock.elapsedMs();
    this.#backMs.set(owner, backMs);
    if (clock.elapsedMs() - backMs < DAY_MS) return;
    const also = allSlices.flatMap((slice) => ledger.statement(self, "steward", `${owner}/${slice}`) ?? []);
    if (also.length > 0) await entries.withdrawIdle({ also, leastCount: 1 });
  }

  #failed(site: SiteId, error: unknown, signal: AbortSignal): void {
    signal.throwIfAborted();
    this.#backOff.failed(site);
    this.#components.onFailure?.(site, error);
  }
}

type Received = Pick<StatementOf<"receipt">, "generation" | "hash" | "snapshots">;

/** Who has given a receipt for a later generation goes back to none. */
const isBehind = (receipt: Received, own: Received, hasLoss: boolean): boolean =>
  receipt.generation < own.generation ||
  (receipt.generation === own.generation &&
    (hasLoss || receipt.hash !== own.hash || receipt.snapshots < own.snapshots));
