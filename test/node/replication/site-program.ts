/** What a site's composition root puts together, for one site of a test: the owner's part, and the steward's. */
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import { AuditQuestions } from "#node/replication/audit-questions.ts";
import { Auditor } from "#node/replication/auditor.ts";
import { LiveSets } from "#node/replication/live-sets.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { PlacementKeeper } from "#node/replication/placement-keeper.ts";
import { Refusals } from "#node/replication/refusals.ts";
import { Replicator, type ReplicatorEvent } from "#node/replication/replicator.ts";
import { type StewardComponents, StewardDuty } from "#node/replication/steward-duty.ts";
import type { SiteId } from "#protocol/ids.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";

export interface OwnerProgram {
  readonly site: ReplicatingSite;
  readonly placement: PlacementKeeper;
  readonly refusals: Refusals;
  readonly events: ReplicatorEvent[];
  readonly silentMs: Map<SiteId, number>;
  suspicion: string | undefined;
  mayMove: boolean;
  /** Undefined for no limit. */
  bytesPerSecond: number | undefined;
  /** What it does before a run. */
  catchUp: (holder: SiteId) => Promise<void>;
  onEvent: ((event: ReplicatorEvent) => void) | undefined;
  audit(): ReturnType<Replicator["audit"]>;
  /** As when people say `send`. */
  hurry(): void;
  /** Whether its time was over before all was sent. */
  turn(signal?: AbortSignal): Promise<boolean>;
}

/** `silentMs`: as the site counts it. */
function partsOf(site: ReplicatingSite, silentMs: ReadonlyMap<SiteId, number>) {
  const { siteId: self, view: sites, ledger, entries, store, kept, omissions, clock, peers } = site;
  // Nothing is late on it: audits and runs wait for what comes.
  const patient = site.patientClock;
  const rng = new SeededRng(`${site.name} program`);
  const refusals = new Refusals({ clock });
  const silence = { of: (siteId: SiteId) => silentMs.get(siteId) ?? 0 };
  const base = { self, sites, ledger, entries, store, kept, omissions, clock: patient, peers, rng, silence };
  const placement = new PlacementKeeper({ ...base, refuses: (siteId) => refusals.refuses(siteId) }, { copiesCount: 2 });
  const auditor = new Auditor(base);
  const questions = new AuditQuestions(base);
  return {
    ...base,
    refusals,
    placement,
    auditor,
    questions,
    limit: new BandwidthLimit({ clock }, { bytesPerSecond: () => undefined }),
  };
}

export async function ownerProgram(site: ReplicatingSite): Promise<OwnerProgram> {
  const silentMs = new Map<SiteId, number>();
  const parts = partsOf(site, silentMs);
  const { own } = site;
  const program: OwnerProgram = {
    site,
    placement: parts.placement,
    refusals: parts.refusals,
    events: [],
    silentMs,
    suspicion: undefined,
    mayMove: true,
    bytesPerSecond: undefined,
    catchUp: async () => undefined,
    onEvent: undefined,
    audit: () => replicator.audit(new AbortController().signal),
    hurry: () => replicator.hurry(),
    turn: (signal = new AbortController().signal) => replicator.turn(signal),
  };
  const replicator = new Replicator({
    ...parts,
    own,
    liveSets: new LiveSets({ ...parts, own }),
    suspicion: () => program.suspicion,
    mayMove: () => program.mayMove,
    limit: new BandwidthLimit({ clock: site.clock }, { bytesPerSecond: () => program.bytesPerSecond }),
    catchUp: (holder) => program.catchUp(holder),
    onEvent: (event) => {
      program.events.push(event);
      program.onEvent?.(event);
    },
  });
  return program;
}

export function stewardDutyOf(
  site: ReplicatingSite,
  silentMs: ReadonlyMap<SiteId, number>,
  told: Partial<Pick<StewardComponents, "suspicion" | "catchUp">> = {},
): StewardDuty {
  return new StewardDuty({
    ...partsOf(site, silentMs),
    suspicion: () => undefined,
    mayMove: () => true,
    catchUp: async () => undefined,
    ...told,
  });
}

export async function federationOf(...names: string[]) {
  const all = new ReplicatingFederation();
  const owner = await all.add("owner");
  const holders = [];
  for (const name of names) holders.push(await all.add(name));
  for (const site of all.sites) await site.sayProfile();
  await all.spread();
  const program = await ownerProgram(owner);
  return { all, owner, holders, program };
}

export const safety = { copiesCount: 2, domainsCount: 9 };
export const statesOf = ({ placement, site }: OwnerProgram) =>
  allSlices.map((slice) => placement.stateOf(site.siteId, slice));
export const tableOf = ({ placement, site }: OwnerProgram) =>
  allSlices.map((slice) => [...placement.toPlace(site.siteId, slice).holders]);
