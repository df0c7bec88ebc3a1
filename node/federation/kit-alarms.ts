/** What everybody's people are told of a site that asks for another recovery key, and from when on it would have it. docs/specs/membership.md, "A lost kit" */
import type { Log } from "#ledger/entry.ts";
import { doesStand } from "#ledger/kit-requests.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { SeenKitRequest } from "./kit-requests.ts";

export interface KitAlarmInit {
  readonly nowMs: number;
  readonly nameOf: (site: SiteId) => string;
}

export const kitAlarms = (
  requests: readonly SeenKitRequest[],
  { nowMs, nameOf }: KitAlarmInit,
): { readonly code: string; readonly text: string }[] =>
  requests
    .filter(({ isObjected }) => !isObjected)
    .map((request) => ({ code: "kit-asked-for", text: textOf(request, nameOf(request.siteId), nowMs) }));

function textOf(request: SeenKitRequest, name: string, nowMs: number): string {
  const { approvers, neededCount, leftMs } = request;
  const begin = `${name} says that its recovery kit is lost, and asks for a new one`;
  if (!doesStand(request) || leftMs === undefined)
    return `${begin}: ${approvers.length} of the ${neededCount} other members that are needed approve; whoever has the kit, and asked for nothing, should object: costor site kit object`;
  const day = new Date(nowMs + leftMs).toISOString().slice(0, 10);
  return `${begin}: enough members approve, and the new one counts from ${day} on; until then whoever has the former kit can object: costor site kit object`;
}

/** Whether the members have agreed on a kit that the site of this machine has asked for, and it does not go by it yet. */
export const hasAgreedKit = (ledger: Ledger, { certificate: { siteId, chain } }: Log): boolean =>
  ledger.recoveryKeys.chainOf(siteId)[chain.length]?.isByMajority === true;
