/**
 * The owner's part: places slices, signs live sets, runs with its holders, and audits them. docs/specs/replication.md
 *
 * Every turn begins with what is known now; a turn that fails, or ends with its window, leaves nothing that the next one
 * would not find. Nothing is sent and nothing signed while this site is under suspicion.
 */
import { type AuditCounts, failsAudit } from "#ledger/audit-sample.ts";
import type { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import { eraseOrderOf } from "#ledger/erasing.ts";
import type { Clock } from "#ledger/clock.ts";
import { Deadline } from "#ledger/deadline.ts";
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { copiesOf } from "#ledger/copies.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { AuditQuestions } from "./audit-questions.ts";
import type { AuditedPart, Auditor } from "./auditor.ts";
import { BackOff } from "./back-off.ts";
import type { LiveSets, OwnPrimes } from "./live-sets.ts";
import { HolderSlices } from "./holder-slices.ts";
import { type KeptTotal, OwnerRun, type RunProgress, type SliceReport } from "./owner-run.ts";
import { allSlices } from "./all-slices.ts";
import type { PlacementKeeper } from "./placement-keeper.ts";
import { type Refusals, cannotHold } from "./refusals.ts";
import { hashOfSet } from "./prime-set-hash.ts";
import { replicateProtocol } from "./replicate-messages.ts";
import type { LedgerReader, Sites } from "./replication-ports.ts";
import { Turns } from "./turns.ts";

export interface ReplicatorComponents {
  readonly self: SiteId;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly peers: Pick<Peers, "open">;
  readonly sites: Sites;
  readonly ledger: LedgerReader;
  readonly store: Pick<PrimeStore, "get" | "getMany">;
  readonly own: OwnPrimes;
  readonly liveSets: LiveSets;
  readonly placement: PlacementKeeper;
  readonly refusals: Refusals;
  readonly auditor: Auditor;
  readonly questions: AuditQuestions;
  readonly limit: BandwidthLimit;
  /** Why this site must sign nothing now; undefined when all is well. */
  readonly suspicion: () => string | undefined;
  /** Whether data may be moved now: the window is open, and nobody has paused it. */
  readonly mayMove: () => boolean;
  /** As in `ReplicationComponents`. */
  readonly catchUp: (holder: SiteId, signal: AbortSignal) => Promise<void>;
  readonly onEvent?: ((event: ReplicatorEvent) => void) | undefined;
}

export type ReplicatorEvent =
  | { readonly event: "run-progress"; readonly holder: SiteId; readonly progress: RunProgress }
  | { readonly event: "run-ended"; readonly holder: SiteId; readonly reports: readonly SliceReport[] }
  | { readonly event: "run-failed"; readonly holder: SiteId; readonly error: unknown }
  | { readonly event: "audit-failed"; readonly holder: SiteId; readonly error: unknown };

/** What an audit of one holder came to. */
export interface HolderAudit {
  readonly holder: SiteId;
  readonly isReached: boolean;
  /** Undefined when nothing was asked: it is not reached, has given no receipt that counts, or this site is under suspicion. */
  readonly counts: AuditCounts | undefined;
}

const RUNS_AT_ONCE_COUNT = 2;
/** With less to send a second run with one holder is not worth another entry with receipts, which is for ever. */
const SECOND_RUN_BYTES = 64 * 1024 * 1024;

/** What goes to one holder in a turn, by one run or by two at once. */
interface Sending {
  readonly holder: SiteId;
  /** Asked before each batch. */
  readonly mayGoOn: () => boolean;
  readonly kept: KeptTotal;
  readonly reports: SliceReport[];
  /** Something was kept, or the run has ended. */
  readonly begun: PromiseWithResolvers<void>;
  slices: HolderSlices | undefined;
  /** Now. */
  runsCount: number;
  hasFailed: boolean;
}

const HOUR_MS = 3_600_000;
/** What is sent in one turn: then it is looked at what is new, who is to be audited or replaced, and those that wait have their turn. */
const TURN_MS = HOUR_MS;
/** For what is under way then. */
const LONGEST_RUN_MS = 2 * TURN_MS;
/** Audits of one holder come once a day at least, not all at one moment. */
const AUDIT_EVERY_MS = 23 * HOUR_MS;
const AUDIT_JITTER_MS = 2 * HOUR_MS;

export class Replicator {
  readonly #components: ReplicatorComponents;
  readonly #backOff: BackOff;
  /** By the clock that never jumps. */
  readonly #servedMs = new Map<SiteId, number>();
  readonly #auditDueMs = new Map<SiteId, number>();
  /** Nobody else than it names is asked. */
  #askedTable: object | undefined;
  /** When all holders had given their receipts: with this table, by this state of the ledger. */
  #stored: { readonly state: object; readonly table: readonly (readonly SiteId[])[] } | undefined;

  constructor(components: ReplicatorComponents) {
    this.#components = components;
    this.#backOff = new BackOff(components);
  }

  /** One turn; whether its time was over before all was sent. Throws what the ledger or the store throws; a holder's faults are told as events. */
  async turn(signal: AbortSignal): Promise<boolean> {
    const { clock, suspicion, mayMove, placement } = this.#components;
    if (suspicion() !== undefined || this.#hasEnded()) return false;
    const untilMs = clock.elapsedMs() + TURN_MS;
    const hasTime = (): boolean => clock.elapsedMs() < untilMs;
    let { table } = await placement.keep();
    if (mayMove() && !this.#isAllStored(table)) {
      const turns = new Turns({ atOnceCount: RUNS_AT_ONCE_COUNT });
      const mayGoOn = (): boolean => mayMove() && hasTime();
      const sendings = this.#inTurn(new Set(table.flat())).map((holder) => this.#sendingTo(holder, mayGoOn));
      await Promise.all([
        ...sendings.map((sending) => turns.run(() => this.#begin(sending, table, signal))),
        // While one slice becomes durable there, another one is on its way: where no other holder waits.
        ...sendings.map((sending) => turns.run(() => this.#join(sending, signal))),
      ]);
      signal.throwIfAborted();
      // Receipts let former holders go, refusals call for others.
      ({ table } = await placement.keep());
    }
    for (const holder of new Set(table.flat())) await this.#auditWhenDue(holder, table, signal);
    if (this.#askedTable !== table) await this.#components.questions.retain(table);
    this.#askedTable = table;
    return !hasTime() && mayMove();
  }

  /** Audits each holder now, one after the other. Throws what the ledger throws, and the signal's reason. */
  async audit(signal: AbortSignal): Promise<HolderAudit[]> {
    const { placement, self } = this.#components;
    if (this.#hasEnded()) return [];
    const table = allSlices.map((slice) => placement.toPlace(self, slice).holders);
    const audits: HolderAudit[] = [];
    for (const holder of [...new Set(table.flat())].sort()) {
      try {
        audits.push({ holder, isReached: true, counts: await this.#audit(holder, table, signal) });
      } catch (error) {
        signal.throwIfAborted();
        if (!isCostorError(error, "peer-unreachable")) throw error;
        audits.push({ holder, isReached: false, counts: undefined });
      }
    }
    return audits;
  }

  /** Whether others are to erase what they hold of this site. */
  #hasEnded(): boolean {
    const { ledger, self } = this.#components;
    return eraseOrderOf({ ledger }, self) !== undefined;
  }

  /** People want it now: holders that failed are tried again without waiting. */
  hurry(): void {
    this.#backOff.forget();
  }

  /** Those first that were served longest ago. */
  #inTurn(holders: ReadonlySet<SiteId>): SiteId[] {
    const servedMs = (holder: SiteId): number => this.#servedMs.get(holder) ?? Number.NEGATIVE_INFINITY;
    return [...holders]
      .filter((holder) => !this.#backOff.waits(holder))
      .sort((one, other) => servedMs(one) - servedMs(other) || (one < other ? -1 : 1));
  }

  #sendingTo(holder: SiteId, mayGoOn: () => boolean): Sending {
    const begun = Promise.withResolvers<void>();
    return {
      ...{ holder, mayGoOn },
      kept: { count: 0, bytes: 0 },
      reports: [],
      begun,
      slices: undefined,
      runsCount: 0,
      hasFailed: false,
    };
  }

  async #begin(sending: Sending, table: readonly (readonly SiteId[])[], signal: AbortSignal): Promise<void> {
    const { holder, mayGoOn } = sending;
    const { clock } = this.#components;
    const slices = allSlices.filter((slice) => table[slice]!.includes(holder) && !this.#isStored(holder, slice));
    if (slices.length === 0 || signal.aborted || !mayGoOn()) return;
    this.#servedMs.set(holder, clock.elapsedMs());
    const isStored = (...where: [SiteId, number]): boolean => this.#isStored(...where);
    sending.slices = new HolderSlices({ ...this.#components, isStored }, { holder, slices });
    await this.#runWith(sending, sending.slices, signal);
  }

  /** A second run, once the first one has taken up its first slice. */
  async #join(sending: Sending, signal: AbortSignal): Promise<void> {
    const { slices } = sending;
    if (slices === undefined || sending.runsCount === 0) return;
    await sending.begun.promise;
    if (sending.runsCount > 0 && sending.mayGoOn() && slices.leftBytes() >= SECOND_RUN_BYTES)
      await this.#runWith(sending, slices, signal);
  }

  async #runWith(sending: Sending, slices: HolderSlices, signal: AbortSignal): Promise<void> {
    const { self, clock, sites, peers, questions, refusals, catchUp, suspicion, onEvent } = this.#components;
    const { holder, mayGoOn, kept, reports, begun } = sending;
    sending.runsCount++;
    const reason = (): Error => new CostorError("peer-unreachable", "the run does not come to an end");
    using deadline = new Deadline({ clock }, { afterMs: LONGEST_RUN_MS, signal, reason });
    let isReached = false;
    try {
      const peer = sites.peerOf(holder);
      if (peer === undefined) throw new CostorError("peer-unreachable", "its machine is not known yet");
      const channel = await peers.open(peer, replicateProtocol, signal);
      isReached = true;
      if (sending.runsCount === 1) await catchUp(holder, signal);
      // What it knows may tell that this site must sign nothing now.
      if (suspicion() !== undefined) {
        channel.abort();
        return;
      }
      const onProgress = (progress: RunProgress): void => {
        begun.resolve();
        onEvent?.({ event: "run-progress", holder, progress });
      };
      const run = new OwnerRun(
        { ...this.#components, channel },
        { owner: self, holder, questions, mayGoOn, signal: deadline.signal, kept, onProgress },
      );
      reports.push(...(await run.run(slices)));
      if (sending.runsCount > 1) return;
      if (!sending.hasFailed) this.#note(sending);
      onEvent?.({ event: "run-ended", holder, reports });
    } catch (error) {
      if (signal.aborted) return;
      sending.hasFailed = true;
      if (cannotHold(error)) refusals.refused(holder);
      if (kept.count > 0) refusals.cameToSomething(holder);
      else if (isReached) refusals.cameToNothing(holder);
      this.#backOff.failed(holder);
      onEvent?.({ event: "run-failed", holder, error });
    } finally {
      sending.runsCount--;
      begun.resolve();
    }
  }

  #note({ holder, reports, kept }: Sending): void {
    const { refusals } = this.#components;
    const refused = reports.flatMap(({ refusal }) => refusal ?? []);
    if (refused.some(cannotHold)) refusals.refused(holder);
    if (kept.count > 0 || reports.some(({ end }) => end === "received")) refusals.cameToSomething(holder);
    else if (refused.length > 0) refusals.cameToNothing(holder);
    if (refused.length > 0) this.#backOff.failed(holder);
    else this.#backOff.succeeded(holder);
  }

  /** Whether all holders have, by what was found before: nothing has changed since, and mostly nothing does. */
  #isAllStored(table: readonly (readonly SiteId[])[]): boolean {
    const { ledger, liveSets } = this.#components;
    const areCurrent = allSlices.every((slice) => liveSets.isCurrent(slice));
    if (!areCurrent) return false;
    const state = ledger.states.copiesState;
    const stored = this.#stored;
    if (stored?.state === state && stored.table === table) return true;
    if (!allSlices.every((slice) => table[slice]!.every((holder) => this.#isStored(holder, slice)))) return false;
    this.#stored = { state, table };
    return true;
  }

  /** Whether the holder has given its receipt for all there is now. */
  #isStored(holder: SiteId, slice: number): boolean {
    const { self, liveSets, placement } = this.#components;
    return liveSets.isCurrent(slice) && placement.hasStored(self, slice, holder);
  }

  async #auditWhenDue(holder: SiteId, table: readonly (readonly SiteId[])[], signal: AbortSignal): Promise<void> {
    const { clock, rng, onEvent } = this.#components;
    const nowMs = clock.elapsedMs();
    const dueMs = this.#auditDueMs.get(holder);
    if (dueMs === undefined) this.#auditDueMs.set(holder, nowMs + rng.fraction() * AUDIT_JITTER_MS);
    if (dueMs === undefined || dueMs > nowMs) return;
    try {
      const counts = await this.#audit(holder, table, signal);
      if (counts !== undefined && failsAudit(counts)) {
        const { askedCount, wrongCount } = counts;
        const error = new CostorError("peer-misbehaved", `${wrongCount} of ${askedCount} primes could not be proven`);
        onEvent?.({ event: "audit-failed", holder, error });
      }
      // Where it has given no receipt yet, it soon may.
      const pauseMs = counts === undefined ? HOUR_MS : AUDIT_EVERY_MS - rng.fraction() * AUDIT_JITTER_MS;
      this.#auditDueMs.set(holder, nowMs + pauseMs);
    } catch (error) {
      if (signal.aborted) return;
      onEvent?.({ event: "audit-failed", holder, error });
    }
  }

  /** Undefined when there is nothing to ask for. Throws `peer-unreachable`, and what the ledger throws. */
  async #audit(
    holder: SiteId,
    table: readonly (readonly SiteId[])[],
    signal: AbortSignal,
  ): Promise<AuditCounts | undefined> {
    const { auditor, self, suspicion } = this.#components;
    // What it has left out since it may not know.
    if (suspicion() !== undefined) return undefined;
    const slices = allSlices.filter((slice) => table[slice]!.includes(holder));
    const parts = slices.flatMap((slice) => this.#auditedPart(holder, slice) ?? []);
    return auditor.audit(holder, self, parts, signal);
  }

  /** What the holder has by a receipt that counts, audits or not, and this site still has in its set. */
  #auditedPart(holder: SiteId, slice: number): AuditedPart | undefined {
    const { self, ledger, own, placement, questions } = this.#components;
    const { liveSet, holders } = placement.stateOf(self, slice, [holder]);
    const counts =
      copiesOf({ liveSet, holders: holders.map((state) => ({ ...state, failsAudits: false })) }).length > 0;
    const receipt = ledger.statement(holder, "receipt", `${self}/${slice}`)?.statement;
    if (!counts || receipt === undefined) return undefined;
    const { hash } = receipt;
    const ids = async (): Promise<readonly PrimeId[]> => {
      const [set, asked] = [await own.slice(slice), await questions.of(holder, slice)];
      const here = new Set(set.ids);
      if (hashOfSet(set.ids) !== hash) return asked.filter((id) => here.has(id));
      // Of a receipt that came when this site had another disk there are no questions yet.
      const sample =
        asked.length > 0
          ? undefined
          : await questions.prepare(holder, { slice, generation: receipt.generation, ids: set.ids });
      if (sample !== undefined) await questions.note(holder, [sample]);
      return set.ids;
    };
    // By what this site has signed: what the holder says of it would choose what it is asked for.
    return { count: liveSet!.count, ids };
  }
}
