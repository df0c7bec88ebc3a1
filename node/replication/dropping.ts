/**
 * Drops what owners have left out for the lock, and nothing else. docs/specs/replication.md, Dropping; the rules are
 * ledger/drop-plan.ts.
 *
 * A receipt for what is dropped as a whole is withdrawn before; what was left out of a live set is in no receipt any more. On a disk that
 * was set back that need not be so: nothing is dropped until this site has said what it lacks, and then all locks begin anew. Nor is anything
 * while it is cut off from most others.
 */
import * as v from "valibot";
import { type KeptReason, type OwnerState, keptReason, mayDropDeparted } from "#ledger/drop-plan.ts";
import { SLICES_COUNT } from "#ledger/slice.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { Departures } from "./departures.ts";
import { isHolder } from "./fetch-rights.ts";
import type { HeldClock } from "./held-clock.ts";
import type { OmissionNote, Omissions } from "./omissions.ts";
import type { OwnerTurns } from "./owner-turns.ts";
import type { KeptPrimes, LedgerReader, OwnEntries, Sites } from "./replication-ports.ts";

export interface DroppingComponents {
  readonly self: SiteId;
  readonly sites: Pick<Sites, "roleOf" | "sites">;
  readonly ledger: LedgerReader;
  readonly entries: OwnEntries;
  readonly store: Pick<PrimeStore, "keptTotals" | "keptSlices" | "fact" | "appendFacts">;
  readonly kept: Pick<KeptPrimes, "slice" | "release">;
  readonly omissions: Omissions;
  readonly departures: Departures;
  readonly heldClock: Pick<HeldClock, "state" | "note">;
  readonly ownerTurns: OwnerTurns;
  /** As in `ReplicationComponents`. */
  readonly suspicion: () => string | undefined;
  readonly hearsMost: () => boolean;
}

/** What was left out and is kept all the same, by the reason: whole slices count as one. */
export type DropReport = { droppedCount: number } & Record<KeptReason, number>;

/** Released in one call: others have their turns between. */
const RELEASED_COUNT = 4096;

/** The fact since when locks are counted that were noted before. */
const [KIND, KEY] = ["locks", "begun"];
const schema = v.strictObject({ since: v.pipe(v.number(), v.safeInteger()) });

export class Dropping {
  readonly #components: DroppingComponents;

  constructor(components: DroppingComponents) {
    this.#components = components;
  }

  async drop(signal?: AbortSignal): Promise<DropReport> {
    const { store, self, ownerTurns } = this.#components;
    const report: DropReport = { droppedCount: 0, "own-clock": 0, fork: 0, "other-log": 0, lock: 0 };
    for (const { site: owner } of await store.keptTotals()) {
      signal?.throwIfAborted();
      if (owner !== self) await ownerTurns.run(owner, () => this.#dropOf(owner, report, signal));
    }
    return report;
  }

  /** This disk is older than what the site has told others: what is noted may have had an end since. Durable when it resolves. */
  async beginAnew(): Promise<void> {
    const { store, heldClock } = this.#components;
    const { nowMs, fact } = heldClock.note();
    await store.appendFacts([{ kind: KIND, key: KEY, value: encodeCbor({ since: nowMs }) }, fact]);
  }

  async #dropOf(owner: SiteId, report: DropReport, signal: AbortSignal | undefined): Promise<void> {
    const { departures, omissions, heldClock, suspicion, hearsMost } = this.#components;
    // Who may not write, or has not heard yet what it has said, cannot tell whether its receipts stay true. Who is cut off cannot tell
    // whether the owner has signed otherwise since, on another machine.
    if (suspicion() !== undefined || !hearsMost()) return;
    const begunMs = await this.#begunMs();
    const state = await this.#stateOf(owner, begunMs);
    if (state.departedSinceMs !== undefined) {
      if (!mayDropDeparted(state, heldClock.state)) return;
      for (let slice = 0; slice < SLICES_COUNT; slice++)
        report.droppedCount += await dropSlice(this.#components, owner, slice, signal);
      return departures.clear(owner);
    }
    await departures.clear(owner);
    await this.#noteSlices(owner);
    const clock = heldClock.state;
    for (const note of await Array.fromAsync(omissions.notes(owner))) {
      const reason = keptReason({ ...note, sinceMs: Math.max(note.sinceMs, begunMs) }, state, clock);
      if (reason !== undefined) report[reason] += note.ids?.length ?? 1;
      else if (note.ids === undefined)
        report.droppedCount += await dropSlice(this.#components, owner, note.slice, signal);
      else await this.#dropIds(owner, note, note.ids, report, signal);
    }
  }

  async #begunMs(): Promise<number> {
    const value = await this.#components.store.fact(KIND, KEY);
    return value === undefined ? Number.NEGATIVE_INFINITY : readFactValue(value, schema, KIND).since;
  }

  async #stateOf(owner: SiteId, begunMs: number): Promise<OwnerState> {
    const { sites, ledger, departures } = this.#components;
    const { role } = sites.roleOf(owner);
    const isHere = role === "member" || role === "guest";
    return {
      currentLogId: isHere ? ledger.currentLog(owner)?.log.id : undefined,
      hasFork: ledger.forkOf(owner) !== undefined,
      departedSinceMs: isHere ? undefined : Math.max(await departures.noted(owner), begunMs),
    };
  }

  /** A placement that the owner has signed in its current log, and that does not name this site, leaves out the whole slice. */
  async #noteSlices(owner: SiteId): Promise<void> {
    const { ledger, self, sites, store, omissions } = this.#components;
    const slices = await store.keptSlices(owner);
    const kept = new Set(slices.filter(({ count, lostCount }) => count > lostCount).map(({ slice }) => slice));
    const noted = new Set<number>();
    for await (const { slice, ids } of omissions.notes(owner)) if (ids === undefined) noted.add(slice);
    const current = ledger.currentLog(owner)?.log.id;
    for (const slice of kept.union(noted)) {
      const placement = ledger.statement(owner, "placement", `${slice}`);
      if (placement === undefined || placement.logId !== current) continue;
      if (!isHolder({ ledger, sites }, self, owner, slice)) {
        if (kept.has(slice)) await omissions.noteSlice(owner, slice, placement.logId);
      } else if (noted.has(slice)) await omissions.clearSlice(owner, slice);
    }
  }

  async #dropIds(
    owner: SiteId,
    note: OmissionNote,
    ids: readonly PrimeId[],
    report: DropReport,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { kept, omissions } = this.#components;
    for (let at = 0; at < ids.length; at += RELEASED_COUNT)
      await kept.release(owner, ids.slice(at, at + RELEASED_COUNT), signal);
    await omissions.forget([note]);
    report.droppedCount += ids.length;
  }
}

export type DroppedSliceComponents = Pick<DroppingComponents, "self" | "ledger" | "entries" | "kept" | "omissions">;

/** All of a slice; receipts for it are withdrawn before. */
export async function dropSlice(
  { self, ledger, entries, kept, omissions }: DroppedSliceComponents,
  owner: SiteId,
  slice: number,
  signal?: AbortSignal,
): Promise<number> {
  const said = (["receipt", "loss"] as const).map((kind) => ledger.statement(self, kind, `${owner}/${slice}`));
  const also = said.filter((stated) => stated !== undefined);
  if (also.length > 0) await entries.withdrawIdle({ also, leastCount: 1 });
  const ids = await kept.slice(owner, slice);
  for (let at = 0; at < ids.length; at += RELEASED_COUNT)
    await kept.release(owner, ids.slice(at, at + RELEASED_COUNT), signal);
  await omissions.forget(await Array.fromAsync(omissions.notes(owner, slice)));
  return ids.length;
}
