/** What people should look at now: one code and one sentence each. */
import type { Suspicion } from "#ledger/own-log.ts";
import { COPIES_COUNT } from "#node/replication/replication.ts";
import type { SiteId } from "#protocol/ids.ts";
import { type Alarm, fullLedgerAlarms } from "./alarms.ts";
import type { FederationStatus } from "./federation-status.ts";
import type { Federation } from "./federation.ts";
import { hasAgreedKit, kitAlarms } from "./kit-alarms.ts";

type HoldingAlarm = Pick<Alarm, "code" | "text">;

export async function holdingAlarms(federation: Federation, nowMs: number): Promise<HoldingAlarm[]> {
  const { parts, siteId } = federation;
  const { ledger, membership, ownLog, profiles, copies, kitRequests } = parts;
  const nameOf = (site: SiteId): string => profiles.nameOf(site);
  const suspicion = ownLog.suspicion;
  const forks = membership
    .sites()
    .filter((site) => site !== siteId && ledger.forkOf(site) !== undefined)
    .map((site) => ({ code: "fork", text: `two machines write as ${nameOf(site)}; nothing of it is dropped` }));
  const failing = copies.failingHolders().map((site) => ({
    code: "audit-failed",
    text: `${nameOf(site)} could not prove that it has what it says; its copies do not count`,
  }));
  const helped = parts.helpedRestores
    .list()
    .filter(({ isKnown, hasPresentKey }) => hasPresentKey && !isKnown)
    .map(({ name, sinceMs, ticket }) => ({
      code: "helped",
      text: `at ${name} this site's backups were read by its recovery kit from ${new Date(sinceMs).toISOString()} on; if that was one of you: costor federation restores --known ${ticket.slice(0, 8)}; if not, somebody else has the kit: make a new one`,
    }));
  const rivals = membership
    .sites()
    .filter((site) => ledger.recoveryKeys.hasRival(site))
    .map((site) => ({
      code: "two-kits",
      text: `two new recovery kits were made of one kit of ${nameOf(site)}: ask its people; the one that was here first counts`,
    }));
  const blocking = membership.roster !== undefined && ownLog.isReady ? federation.blocking() : [];
  const own =
    suspicion === undefined
      ? blocking.map((text) => ({ code: "nothing-signed", text: `${text}; no copies are brought up to date` }))
      : [otherMachine(suspicion)];
  const kits = kitAlarms(kitRequests.list(), { nowMs, nameOf });
  const restart = hasAgreedKit(ledger, ownLog.log)
    ? [{ code: "kit-agreed", text: "this site has a new recovery kit: restart it, so that it goes on by that one" }]
    : [];
  const damage = membership.roster === undefined ? undefined : await federation.damage();
  const damaged =
    damage === undefined
      ? []
      : [
          {
            code: "damaged",
            text: `${damage}: backups that need them are not safe, and nothing expires before; costor site scrub tells which`,
          },
        ];
  const full = fullLedgerAlarms(ledger.usedRatio(siteId));
  return [
    ...(membership.roster === undefined ? [] : takenOutAlarms(membership.roleOf(siteId).role)),
    ...tooFewAlarms(membership.sites().length - 1, membership.roleOf(siteId).role),
    ...own,
    ...damaged,
    ...full,
    ...forks,
    ...rivals,
    ...kits,
    ...restart,
    ...failing,
    ...helped,
  ];
}

/** For members, who can invite. */
const tooFewAlarms = (othersCount: number, role: FederationStatus["role"]): HoldingAlarm[] =>
  role === "member" && othersCount < COPIES_COUNT
    ? [
        {
          code: "too-few-sites",
          text: `${othersCount === 0 ? "no other site is" : "only one other site is"} in the federation, and a backup is safe when two have it: invite another one`,
        },
      ]
    : [];

/** A guest that is out is as one whose inviter has not been heard yet. */
const takenOutAlarms = (role: FederationStatus["role"]): HoldingAlarm[] =>
  role === "expelled" || role === "none"
    ? [
        {
          code: "taken-out",
          text: `this site is in the federation no more${role === "none" ? ", or not yet" : ""}: nothing new of it is sent, and other sites keep what they have of it for 45 days from then on; its members can take it back in: costor federation admit`,
        },
      ]
    : [];

const otherMachine = (suspicion: Suspicion): HoldingAlarm =>
  suspicion === "newer-log"
    ? {
        code: "superseded",
        text: "another machine has taken this site's place, and this one takes no backups any more: use that one, or stop it and run costor site adopt here",
      }
    : { code: "other-machine", text: `another machine may act as this site (${suspicion}); it writes no more` };
