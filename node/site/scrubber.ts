/**
 * Reads the whole store again and again, slowly, and verifies it: pass after pass from where the first one began, which was drawn at random, so
 * that sites that were set up alike do not read alike. A pass ends with the index, and with the trees of all snapshots. What is damaged
 * the store puts on record itself; who gets it back is not this file's.
 */
import type { Clock } from "#ledger/clock.ts";
import type { Rng } from "#ledger/rng.ts";
import type { CheckFinding, CheckProgress, PrimeStore, ScrubPlace } from "#node/store/prime-store.ts";
import { type BrokenSnapshotComponents, findBrokenSnapshots } from "./broken-snapshots.ts";
import { pauseAfterPassMs, pauseAfterStepMs, passEndsMs, SCRUB_STEP_BYTES } from "./scrub-pace.ts";
import { type BrokenSnapshot, readScrubState, type ScrubState, writeScrubState } from "./scrub-state.ts";

export interface ScrubberComponents extends BrokenSnapshotComponents {
  readonly store: BrokenSnapshotComponents["store"] &
    Pick<PrimeStore, "scrub" | "verifyIndex" | "fact" | "appendFacts" | "stats" | "keptTotals" | "compact">;
  readonly clock: Clock;
  readonly rng: Rng;
}

export type ScrubEvent =
  | { readonly event: "findings"; readonly findings: readonly CheckFinding[] }
  | { readonly event: "pass-ended"; readonly pass: NonNullable<ScrubState["last"]> }
  /** Others than before; none when all are whole again. */
  | { readonly event: "snapshots-broken"; readonly broken: readonly BrokenSnapshot[] }
  /** It is tried again. */
  | { readonly event: "failed"; readonly error: unknown };

export interface ScrubStatus extends Omit<ScrubState, "start" | "next" | "hasWrapped"> {
  readonly state: "running" | "paused" | "waiting";
  readonly endsMs: number;
}

export interface ScrubChange {
  /** Bytes a second; null: by what there is. */
  readonly rate?: number | null;
  /** For so long; 0 ends a pause. */
  readonly pausedForMs?: number;
}

/** A pause ends by itself: nobody remembers one. */
const LONGEST_SCRUB_PAUSE_MS = 24 * 3600_000;
/** A crash costs the reading of so long. */
const SAVED_EVERY_MS = 600_000;
/** What was lost may come back by itself in so long; then it is looked which snapshots lack it. */
const HEALING_MS = 600_000;
/** The end of a pass waits for so long, while less is lost from one look to the next: what holders have mostly comes in seconds. */
const END_WAITS_MS = 60_000;
const HEALING_LOOK_MS = 5000;
/** While snapshots are not whole. */
const BROKEN_LOOK_MS = 60_000;
const BROKEN_COUNT = 1000;

export class Scrubber {
  readonly #components: ScrubberComponents;
  #state: ScrubState | undefined;
  #savedMs = 0;
  #lostSinceMs: number | undefined;
  /** Something was lost when it was last looked which snapshots lack it, or that is not known. */
  #isLacking = true;
  /** When it is looked next whether damage is settled, as time passes. */
  #settleDueMs = 0;
  /** When the next step is due, as time passes. */
  #stepDueMs = 0;
  /** The pass that a person has asked for reads alone. */
  #askedCount = 0;
  #wake = new AbortController();
  #onEvent: (event: ScrubEvent) => void = () => undefined;

  constructor(components: ScrubberComponents) {
    this.#components = components;
  }

  async status(): Promise<ScrubStatus> {
    const { start: _, next: __, hasWrapped: ___, ...state } = await this.#load();
    const nowMs = this.#components.clock.now();
    return {
      ...state,
      state: isAhead(state.pausedUntilMs, nowMs) ? "paused" : isAhead(state.startedMs, nowMs) ? "waiting" : "running",
      endsMs: passEndsMs(state, state.rate, nowMs),
    };
  }

  async change({ rate, pausedForMs }: ScrubChange): Promise<ScrubStatus> {
    const state = await this.#load();
    const nowMs = this.#components.clock.now();
    await this.#save({
      ...state,
      ...(rate === undefined ? {} : { rate }),
      ...(pausedForMs === undefined
        ? {}
        : { pausedUntilMs: pausedForMs === 0 ? 0 : nowMs + Math.min(pausedForMs, LONGEST_SCRUB_PAUSE_MS) }),
    });
    this.#stepDueMs = 0;
    this.#wake.abort();
    return this.status();
  }

  /** A pass at full speed, from the first record to the last. It counts: the next one begins anew. */
  async pass(signal: AbortSignal, onProgress: (progress: CheckProgress) => void): Promise<ScrubStatus> {
    const { store, clock } = this.#components;
    this.#askedCount++;
    try {
      const startedMs = clock.now();
      let readBytes = 0;
      let findingsCount = 0;
      for (let from: ScrubPlace | undefined, isFirst = true; isFirst || from !== undefined; isFirst = false) {
        signal.throwIfAborted();
        const step = await store.scrub({ from, until: undefined, bytes: SCRUB_STEP_BYTES });
        from = step.next;
        readBytes += step.readBytes;
        findingsCount += this.#tellFindings(step.findings);
        onProgress({ doneBytes: readBytes, totalBytes: Math.max(readBytes, step.totalBytes) });
      }
      const before = await this.#load();
      await this.#endPass({ ...before, startedMs, readBytes, findingsCount }, signal);
      return await this.status();
    } finally {
      this.#askedCount--;
      this.#wake.abort();
    }
  }

  /** Until the signal. */
  async run(signal: AbortSignal, onEvent: (event: ScrubEvent) => void): Promise<void> {
    this.#onEvent = onEvent;
    const { clock } = this.#components;
    this.#settleDueMs = clock.elapsedMs() + HEALING_MS;
    try {
      while (!signal.aborted) {
        const pauseMs = await this.#turn(signal).catch((error: unknown) => {
          if (!signal.aborted) onEvent({ event: "failed", error });
          return HEALING_MS;
        });
        this.#wake = new AbortController();
        const either = AbortSignal.any([signal, this.#wake.signal]);
        const mostMs = (this.#state?.broken.length ?? 0) > 0 ? BROKEN_LOOK_MS : HEALING_MS;
        await clock.sleep(Math.min(pauseMs, mostMs), either).catch(() => undefined);
      }
    } finally {
      if (this.#state !== undefined) await this.#save(this.#state).catch(() => undefined);
    }
  }

  /** What there is to do now. How long until there is more. */
  async #turn(signal: AbortSignal): Promise<number> {
    const { clock } = this.#components;
    await this.#lookAtLosses(signal);
    if (clock.elapsedMs() >= this.#settleDueMs) await this.#settleDamage(signal);
    const state = await this.#load();
    const nowMs = clock.now();
    for (const atMs of [state.pausedUntilMs, state.startedMs]) if (isAhead(atMs, nowMs)) return atMs - nowMs;
    if (this.#askedCount > 0) return HEALING_MS;
    const leftMs = this.#stepDueMs - clock.elapsedMs();
    if (leftMs > 0) return leftMs;
    // A clock that was set back has the pass begin now.
    if (state.startedMs > nowMs) this.#state = { ...state, startedMs: nowMs };
    const pauseMs = await this.#step(await this.#load(), signal);
    this.#stepDueMs = clock.elapsedMs() + pauseMs;
    return pauseMs;
  }

  async #step(state: ScrubState, signal: AbortSignal): Promise<number> {
    const { store, clock } = this.#components;
    const beganMs = clock.elapsedMs();
    const until = state.hasWrapped ? state.start : undefined;
    const step = await store.scrub({ from: state.next ?? undefined, until, bytes: SCRUB_STEP_BYTES });
    const tookMs = clock.elapsedMs() - beganMs;
    const isEnd = step.next === undefined && (state.hasWrapped || isFirstPlace(state.start));
    const after: ScrubState = {
      // What people have changed meanwhile.
      ...(await this.#load()),
      next: step.next ?? null,
      hasWrapped: state.hasWrapped || step.next === undefined,
      readBytes: state.readBytes + step.readBytes,
      totalBytes: step.totalBytes,
      findingsCount: state.findingsCount + this.#tellFindings(step.findings),
    };
    if (isEnd) return this.#endPass(after, signal);
    this.#state = after;
    if (clock.now() - this.#savedMs >= SAVED_EVERY_MS || clock.now() < this.#savedMs) await this.#save(after);
    return pauseAfterStepMs(after, { rate: after.rate, nowMs: clock.now(), stepBytes: step.readBytes, tookMs });
  }

  /** How long until the next pass. */
  async #endPass(state: ScrubState, signal: AbortSignal): Promise<number> {
    const { store, clock } = this.#components;
    const wasIndexRight = await store.verifyIndex();
    await this.#waitForHealing(signal);
    await this.#lookAtSnapshots(signal);
    await this.#settleDamage(signal);
    const nowMs = clock.now();
    const { startedMs, readBytes, findingsCount } = state;
    const last = { startedMs, endedMs: nowMs, readBytes, findingsCount, wasIndexRight };
    const pauseMs = pauseAfterPassMs(startedMs, nowMs);
    await this.#save({
      ...(await this.#load()),
      ...{ startedMs: nowMs + pauseMs, readBytes: 0, findingsCount: 0, last },
      ...(isFirstPlace(state.start) ? { next: null, hasWrapped: false } : { next: state.start, hasWrapped: false }),
    });
    this.#onEvent({ event: "pass-ended", pass: last });
    return pauseMs;
  }

  #tellFindings(findings: readonly CheckFinding[]): number {
    if (findings.length > 0) this.#onEvent({ event: "findings", findings });
    return findings.length;
  }

  /** While something is lost it is looked now and then which snapshots lack it, and once more when it is back. */
  async #lookAtLosses(signal: AbortSignal): Promise<void> {
    const { clock } = this.#components;
    const lostCount = await this.#countLost();
    const { broken } = await this.#load();
    if (lostCount === 0 && broken.length === 0) {
      this.#lostSinceMs = undefined;
      return;
    }
    const nowMs = clock.elapsedMs();
    this.#lostSinceMs ??= nowMs;
    const isBack = this.#isLacking && lostCount === 0;
    if (nowMs - this.#lostSinceMs < HEALING_MS && !isBack) return;
    this.#lostSinceMs = nowMs;
    await this.#lookAtSnapshots(signal);
  }

  async #countLost(): Promise<number> {
    return (await this.#components.store.keptTotals()).reduce((sum, total) => sum + total.lostCount, 0);
  }

  async #waitForHealing(signal: AbortSignal): Promise<void> {
    const { clock } = this.#components;
    const endMs = clock.elapsedMs() + END_WAITS_MS;
    let lostCount = await this.#countLost();
    for (let before = Infinity; lostCount > 0 && lostCount < before && clock.elapsedMs() < endMs;) {
      before = lostCount;
      await clock.sleep(HEALING_LOOK_MS, signal);
      lostCount = await this.#countLost();
    }
  }

  /** What is left of damage is taken away once the snapshots are whole; what else there is to miss the store knows. */
  async #settleDamage(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#components;
    this.#settleDueMs = clock.elapsedMs() + HEALING_MS;
    const { broken } = await this.#load();
    if (broken.length === 0 && (await store.stats()).quarantinedCount > 0) await store.compact(signal);
  }

  async #lookAtSnapshots(signal: AbortSignal): Promise<void> {
    this.#isLacking = (await this.#countLost()) > 0;
    const found = await findBrokenSnapshots(this.#components, { mostCount: BROKEN_COUNT, signal });
    const state = await this.#load();
    const isSame = JSON.stringify(found) === JSON.stringify(state.broken);
    await this.#save({ ...state, broken: found, brokenAsOfMs: this.#components.clock.now() });
    if (!isSame) this.#onEvent({ event: "snapshots-broken", broken: found });
  }

  async #load(): Promise<ScrubState> {
    const { store, clock, rng } = this.#components;
    if (this.#state !== undefined) return this.#state;
    const kept = await readScrubState(store);
    if (kept !== undefined) return (this.#state ??= kept);
    const { segmentsCount } = await store.stats();
    const start = { segment: 1 + Math.floor(rng.fraction() * Math.max(1, segmentsCount)), offset: 0 };
    return (this.#state ??= {
      ...{ startedMs: clock.now(), start, next: isFirstPlace(start) ? null : start, hasWrapped: false },
      ...{ readBytes: 0, totalBytes: 0, findingsCount: 0, rate: null, pausedUntilMs: 0 },
      ...{ last: null, broken: [], brokenAsOfMs: 0 },
    });
  }

  async #save(state: ScrubState): Promise<void> {
    this.#state = state;
    this.#savedMs = this.#components.clock.now();
    await writeScrubState(this.#components.store, state);
  }
}

/** Nothing waits for longer than that: a clock that was set back must not stop it. */
const isAhead = (atMs: number, nowMs: number): boolean => atMs > nowMs && atMs - nowMs <= LONGEST_SCRUB_PAUSE_MS;
const isFirstPlace = ({ segment, offset }: ScrubPlace): boolean => segment <= 1 && offset === 0;
