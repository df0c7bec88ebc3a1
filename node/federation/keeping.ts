/** Opens replication for a federation: what it is told of settings, room and suspicion, and what people are told of it. */
import type { Clock } from "#ledger/clock.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { OwnLog } from "#ledger/own-log.ts";
import type { Peers } from "#ledger/peers.ts";
import { HOLDERS_COUNT } from "#ledger/plan-placement.ts";
import type { Rng } from "#ledger/rng.ts";
import type { HoldingLimits } from "#node/replication/holder-quota.ts";
import { KeptSets } from "#node/replication/kept-sets.ts";
import { LED_BACK } from "#node/replication/regaining.ts";
import type { FormerRecords } from "#node/replication/taking-back.ts";
import {
  COPIES_COUNT,
  NOBODY_ASKED,
  Replication,
  type ReplicationComponents,
  type ReplicationSettings,
} from "#node/replication/replication.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CopiesReport } from "./copies-report.ts";
import type { FederationEvent } from "./federation-event.ts";
import { LinkSpeeds } from "./link-speeds.ts";
import type { OwnEntries } from "./own-entries.ts";
import { OwnPrimeSets } from "./own-primes.ts";
import type { SiteRecords } from "./regained-facts.ts";
import { Sending } from "./sending.ts";
import type { FederationSettings, SettingsFact } from "./settings.ts";

export interface KeepingComponents {
  readonly store: PrimeStore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly transport: Peers;
  readonly ledger: Ledger;
  readonly membership: Membership;
  readonly ownLog: OwnLog;
  readonly entries: OwnEntries;
  readonly settings: SettingsFact;
  /** For other sites, in all. */
  readonly room: () => Promise<{ readonly offeredBytes: number }>;
  /** As `RegainingComponents.regained`. */
  readonly regained: () => Promise<boolean>;
  readonly former: FormerRecords;
  readonly catchUp: ReplicationComponents["catchUp"];
  readonly hearsMost: ReplicationComponents["hearsMost"];
  readonly records: Pick<SiteRecords, "fetchFirst" | "isReturning">;
  readonly onEvent: (event: FederationEvent) => void;
}

export interface Keeping {
  readonly replication: Replication;
  readonly own: OwnPrimeSets;
  readonly copies: CopiesReport;
  readonly sending: Sending;
}

export async function openKeeping(components: KeepingComponents): Promise<Keeping> {
  const { store, clock, transport, membership, ownLog, settings, records, onEvent } = components;
  const self = ownLog.log.certificate.siteId;
  const own = new OwnPrimeSets({ store }, { siteId: self });
  const sending = new Sending({ clock });
  const onFailure = (error: unknown): void => onEvent({ event: "put-off", what: "the speeds of lines", error });
  const linkSpeeds = new LinkSpeeds({ ...components, onFailure }, { self });
  const replication = await Replication.open({
    ...components,
    ...{ self, own, peers: transport, sites: membership, kept: new KeptSets({ store }) },
    first: (fetch, signal) => records.fetchFirst(fetch, signal),
    settings: () => replicationSettings(settings.current),
    holdingLimits: () => holdingLimits(components),
    suspicion: () => suspicionOf(ownLog, records),
    wasLedBack: () => ownLog.wasLedBack && ownLog.isReady && ownLog.suspicion === undefined,
    onEvent: (event) => {
      if (event.event !== "put-off" && event.event !== "refused" && event.event !== "ticket-used") {
        sending.follow(event);
        linkSpeeds.follow(event);
      }
      onEvent(event);
    },
  });
  const copies = new CopiesReport(
    { membership, placement: replication.placement },
    { self, copiesCount: COPIES_COUNT },
  );
  return { replication, own, copies, sending };
}

const RETURNING = "returning";

/** Reasons of this file and of {@link Replication.suspicion}, for people. */
const texts: Readonly<Record<string, string>> = {
  fork: "another machine has written as this site",
  "newer-log": "a newer machine acts as this site",
  "foreign-entry": "another machine has written as this site",
  [NOBODY_ASKED]: "no other site was reached since the start",
  [LED_BACK]: "this machine has not got back yet all that this site has told others",
  [RETURNING]: "what this site's snapshots reach that came back is still being looked through",
  clock: "the machine's clock has jumped",
};

/** `names`: of sites that are waited for. */
export function suspicionText(suspicion: string, names: readonly string[]): string {
  const text = texts[suspicion] ?? suspicion;
  if (names.length === 0) return text;
  return `${text}; it waits for what ${names.join(", ")} may have of it (who will never come back has to be expelled: costor federation expel)`;
}

function suspicionOf(ownLog: OwnLog, { isReturning }: Pick<SiteRecords, "isReturning">): string | undefined {
  if (ownLog.suspicion !== undefined) return ownLog.suspicion;
  if (!ownLog.isReady) return NOBODY_ASKED;
  // What a new machine does not know of yet must not look as if it were given up.
  if (ownLog.wasLedBack) return LED_BACK;
  // The newest live set of a former log may be that of somebody else, and leave out what snapshots reach.
  return isReturning() ? RETURNING : undefined;
}

/** The same for the same: they are asked for before each batch. */
const readSettings = new WeakMap<FederationSettings, ReplicationSettings>();

function replicationSettings(current: FederationSettings): ReplicationSettings {
  let read = readSettings.get(current);
  if (read === undefined) {
    const { isPaused, window, timeZone, bytesPerSecond } = current;
    read = {
      ...{ isPaused, timeZone, bytesPerSecond },
      window: window && { fromMinutes: minutesOf(window.begins), toMinutes: minutesOf(window.ends) || DAY_MINUTES },
    };
    readSettings.set(current, read);
  }
  return read;
}

const DAY_MINUTES = 1440;

function minutesOf(time: string): number {
  const [hours, minutes] = time.split(":").map(Number) as [number, number];
  return hours * 60 + minutes;
}

async function holdingLimits({ membership, room, settings }: KeepingComponents): Promise<HoldingLimits> {
  const { offeredBytes } = await room();
  // Twice its share: owners differ, and each places its copies among several, of many others among some.
  const ownersCount = Math.min(Math.max(COPIES_COUNT, membership.sites().length - 1), HOLDERS_COUNT);
  return {
    offeredBytes,
    ownerBytes: settings.current.quotaBytes ?? Math.floor((COPIES_COUNT * offeredBytes) / ownersCount),
  };
}
