/** Reports how the federation is, as this site sees it: what commands and the API show. */
import { type DrillResult, drillKinds } from "#node/drills/drill-record.ts";
import { drillStandings } from "#node/drills/drill-standing.ts";
import type { Site } from "#node/site/site.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { FederationStatus, SendingStatus } from "./federation-status.ts";
import type { Federation } from "./federation.ts";

export interface StatusComponents {
  readonly federation: Federation;
  readonly store: Pick<PrimeStore, "keptTotals" | "keptSlices">;
  /** When each snapshot of this site was received. */
  readonly receivedTimes: () => Promise<readonly number[]>;
  readonly drills: () => readonly DrillResult[];
  readonly nowMs: () => number;
}

export async function reportStatus(components: StatusComponents): Promise<FederationStatus> {
  const { federation, store, receivedTimes } = components;
  const { membership, transport, copies, sending, checkpoints, profiles, replication } = federation.parts;
  const leaving = federation.leaving.status();
  const [checkpoint] = checkpoints.list();
  const sites = membership.sites();
  const roster = membership.roster!;
  const { offeredBytes } = await federation.room();
  const [safeMs, onceMs] = [copies.safeReceivedMs(), copies.onceReceivedMs()];
  const times = (await receivedTimes()).toSorted((one, other) => one - other);
  const unsafeSinceMs = times.find((receivedMs) => receivedMs > safeMs);
  const slices = copies.slices();
  const behindBytes = copies.lackingBytes(await store.keptSlices(federation.siteId));
  const totals = await store.keptTotals();
  const comesBack = federation.comingBack.look(totals.find(({ site }) => site === federation.siteId));
  const [blocking] = federation.blocking();
  const waiting = blocking ?? waitingText(federation);
  return {
    federationId: membership.federationId!,
    name: roster.name,
    site: federation.siteId,
    siteName: federation.siteName,
    role: membership.roleOf(federation.siteId).role,
    membersCount: roster.members.length,
    guestsCount: sites.filter((site) => membership.roleOf(site).role === "guest").length,
    connectedCount: transport.connected().length,
    snapshots: {
      storedCount: times.length,
      safeCount: times.filter((receivedMs) => receivedMs <= safeMs).length,
      onceCount: times.filter((receivedMs) => receivedMs <= onceMs).length,
      ...(unsafeSinceMs === undefined ? {} : { unsafeSinceMs }),
    },
    slices,
    sending: sending.list(),
    behindBytes,
    refusedBy: unsafeSinceMs === undefined ? [] : replication.placement.refusing().map((site) => profiles.nameOf(site)),
    ...doneAt(sending.list(), behindBytes, components.nowMs()),
    ...(waiting === undefined ? {} : { waiting }),
    ...(comesBack === undefined ? {} : { comesBack }),
    kept: totals
      .filter(({ site }) => site !== federation.siteId)
      .map(({ site, count, bytes }) => ({ owner: site, count, bytes })),
    offeredBytes,
    drills: drillStandings(components.drills(), drillKinds, components.nowMs()),
    ...(leaving === undefined ? {} : { leaving }),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    alarms: await federation.alarms(),
  };
}

/** Why nothing is sent though nothing is wrong. */
function waitingText({ parts }: Federation): string | undefined {
  const { isPaused, window, timeZone } = parts.settings.current;
  if (parts.replication.mayMove()) return undefined;
  return isPaused || window === null
    ? "people have paused it"
    : `it waits for the window, ${window.begins} to ${window.ends}, ${timeZone}`;
}

/** By the rate of what is under way. */
function doneAt(sending: readonly SendingStatus[], behindBytes: number, nowMs: number): { doneAtMs?: number } {
  const sentBytes = sending.reduce((sum, one) => sum + one.sentBytes, 0);
  const longestMs = Math.max(0, ...sending.map(({ sinceMs }) => nowMs - sinceMs));
  if (sentBytes === 0 || longestMs === 0) return {};
  const leftBytes = Math.max(0, behindBytes - sentBytes);
  return { doneAtMs: nowMs + Math.round((leftBytes * longestMs) / sentBytes) };
}

/** Times of a site's snapshots, for {@link StatusComponents}. */
export async function receivedTimesOf({ agents, snapshots }: Pick<Site, "agents" | "snapshots">): Promise<number[]> {
  const lists = await Promise.all(agents.list().map(({ id }) => snapshots.list(id)));
  return lists.flat().map(({ receivedMs }) => receivedMs);
}
