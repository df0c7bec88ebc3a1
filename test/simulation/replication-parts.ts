/** Replication of a simulated site, put together as a site does it: what it is as an owner, as a holder, and as a steward. */
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import { safeSnapshotsOf } from "#ledger/copies.ts";
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import type { Federation } from "#node/federation/federation.ts";
import { serveAudits } from "#node/replication/audit-service.ts";
import { Auditor } from "#node/replication/auditor.ts";
import { Departures } from "#node/replication/departures.ts";
import { Dropping } from "#node/replication/dropping.ts";
import { HeldClock } from "#node/replication/held-clock.ts";
import { HolderQuota } from "#node/replication/holder-quota.ts";
import { HolderService } from "#node/replication/holder-service.ts";
import { LiveSets, type OwnPrimes } from "#node/replication/live-sets.ts";
import { reportLosses } from "#node/replication/losses.ts";
import { Omissions } from "#node/replication/omissions.ts";
import { OwnerTurns } from "#node/replication/owner-turns.ts";
import { PlacementKeeper, allSlices } from "#node/replication/placement-keeper.ts";
import { servePrimes } from "#node/replication/primes-service.ts";
import { Refusals } from "#node/replication/refusals.ts";
import { RegularWork } from "#node/replication/regular-work.ts";
import type { KeptPrimes } from "#node/replication/replication-ports.ts";
import { Replicator } from "#node/replication/replicator.ts";
import { Silence } from "#node/replication/silence.ts";
import { StewardDuty } from "#node/replication/steward-duty.ts";
import { Turns } from "#node/replication/turns.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { Machine } from "./site-program.ts";
import type { SimStore } from "./sim-store.ts";

const MINUTE_MS = 60_000;
const COPIES_COUNT = 2;

export interface ReplicationParts {
  start(signal: AbortSignal): void;
  /** Something more is kept of this site's own. */
  keptMore(): void;
  /** The number up to which snapshots are safe; undefined while this site must sign nothing. */
  safeCount(): number | undefined;
}

export async function openReplication(
  machine: Machine,
  federation: Federation,
  snapshots: () => number,
): Promise<ReplicationParts> {
  const { store, clock, rng, identity, onFault } = machine;
  const { ledger, membership: sites, ownLog, transport: peers } = federation.parts;
  const { siteId: self } = identity;
  const entries = {
    write: (statement: Parameters<typeof federation.parts.entries.write>[0]) =>
      federation.parts.entries.write(statement),
    withdrawIdle: (init: Parameters<typeof ownLog.withdrawIdle>[0]) => ownLog.withdrawIdle(init),
  };
  const heldClock = await HeldClock.open({ clock, store });
  const kept = keptPrimesOf(store);
  const omissions = new Omissions({ store, heldClock });
  const departures = new Departures({ store, heldClock });
  const ownerTurns = new OwnerTurns();
  const silence = await Silence.open({ clock, peers, sites, store });
  const refusals = new Refusals({ clock });
  const base = { self, store, clock, rng, ledger, sites, peers, entries, kept, omissions, ownerTurns, silence };
  let lostCount = 0;
  let revision = 0;
  const suspicion = (): string | undefined => {
    if (!ownLog.isReady) return "nobody was asked";
    if (identity.epoch > 1) return "recovering";
    if (lostCount > 0) return "its own primes are not back";
    return ownLog.suspicion ?? (heldClock.state.isSuspect ? "clock" : undefined);
  };
  const quota = new HolderQuota({
    ...base,
    holdingLimits: async () => ({ offeredBytes: 2 ** 28, ownerBytes: () => 2 ** 26 }),
  });
  const service = new HolderService({ ...base, quota, writeTurns: new Turns({ atOnceCount: 2 }) });
  servePrimes(base);
  serveAudits(base);
  const placement = new PlacementKeeper(
    { ...base, refuses: (site) => refusals.refuses(site) },
    { copiesCount: COPIES_COUNT },
  );
  const own: OwnPrimes = {
    slice: async (slice) => {
      const ids = (await Array.fromAsync(store.kept(self, slice.toString(16)))).flat();
      return { ids, bytes: store.bytesOf(ids) };
    },
    revision: () => revision,
    snapshotsCount: snapshots,
  };
  const auditor = new Auditor(base);
  const limit = new BandwidthLimit({ clock }, {});
  const shared = { ...base, placement, auditor, limit, suspicion, mayMove: () => true };
  const liveSets = new LiveSets({ ...base, own });
  const onEvent = (event: object): void => {
    if ("error" in event) onFault(event.error);
  };
  const replicator = new Replicator({ ...shared, own, liveSets, refusals, onEvent });
  const steward = new StewardDuty({ ...shared, onFailure: (_, error) => onFault(error) });
  const dropping = new Dropping({ ...base, departures, heldClock });
  const look = async (): Promise<void> => {
    silence.count();
    await silence.keep();
    await heldClock.keep();
    lostCount = (await store.keptTotals()).find(({ site }) => site === self)?.lostCount ?? 0;
    if (ownLog.isReady && ownLog.suspicion === undefined) await reportLosses(base);
  };
  const works: readonly (readonly [minutesCount: number, work: (signal: AbortSignal) => Promise<unknown>])[] = [
    [15, look],
    [30, (signal) => replicator.turn(signal)],
    [120, (signal) => steward.turn(signal)],
    [240, (signal) => dropping.drop(signal)],
  ];
  return {
    start: (signal) => {
      service.start(signal);
      for (const [minutesCount, work] of works)
        new RegularWork(
          { clock },
          { everyMs: minutesCount * MINUTE_MS, work: async (ending) => void (await work(ending)), onFailure: onFault },
        ).start(signal);
    },
    keptMore: () => void revision++,
    safeCount: () => {
      if (suspicion() !== undefined) return undefined;
      const domains = new Set(
        sites
          .sites()
          .filter((site) => site !== self)
          .map((site) => sites.failureDomainOf(site)),
      );
      const states = allSlices.map((slice) => placement.stateOf(self, slice));
      return safeSnapshotsOf(states, { copiesCount: COPIES_COUNT, domainsCount: domains.size });
    },
  };
}

function keptPrimesOf(store: SimStore): KeptPrimes {
  const slice = async (owner: SiteId, number: number): Promise<PrimeId[]> => {
    const lost = new Set((await Array.fromAsync(store.lostOf(owner))).flat());
    const kept = (await Array.fromAsync(store.kept(owner, number.toString(16)))).flat();
    return kept.filter((id) => !lost.has(id));
  };
  return {
    put: (owner, batch) => store.putFor(owner, batch),
    release: (owner, ids, signal) => store.release(owner, ids, signal),
    slice,
    compare: async (owner, number, key, question) =>
      answerQuestion(setOfList(key, await slice(owner, number)), question),
  };
}
