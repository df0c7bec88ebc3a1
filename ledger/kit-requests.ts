/**
 * Members that ask for another recovery key since their kit is lost, and who approves: as the ledger has it now. When a request is over
 * and when it comes about is the node's to note. docs/specs/membership.md, "A lost kit"
 */
import { isKitObjection } from "#protocol/kit-objection.ts";
import type { SiteId } from "#protocol/ids.ts";
import { type RecoveryLink, parseMajorityLink } from "#protocol/recovery-chain.ts";
import type { Ledger } from "./ledger.ts";
import type { Membership } from "./membership.ts";
import { majorityOf } from "./roster-chain.ts";
import type { StatementKind, StatementOf } from "./statements.ts";

export interface KitRequestComponents {
  readonly ledger: Pick<Ledger, "currentLog" | "statement" | "statements" | "recoveryKeys">;
  readonly membership: Pick<Membership, "roster" | "sites" | "agreedLinks">;
}

export interface KitRequest {
  readonly siteId: SiteId;
  readonly link: RecoveryLink;
  /** Other members, ascending. */
  readonly approvers: readonly SiteId[];
  /** More than half of the other members. */
  readonly neededCount: number;
  /** Whether a roster has it. It can be another's turn again, where another branch takes the place of that roster. */
  readonly isAgreed: boolean;
}

/** Whether enough members approve. */
export const doesStand = ({ approvers, neededCount }: KitRequest): boolean => approvers.length >= neededCount;

/** Those that count, by ascending site: at most one of each member. */
export function kitRequests({ ledger, membership }: KitRequestComponents): KitRequest[] {
  const members = membership.roster?.members.map(({ siteId }) => siteId) ?? [];
  return members.flatMap((siteId) => {
    const link = requestedLink(siteId, { ledger });
    if (link === undefined) return [];
    const others = members.filter((member) => member !== siteId);
    const approvers = others.filter(
      (member) => current({ ledger }, member, "kit-approval", siteId)?.link.toString("hex") === link.hash,
    );
    const isAgreed = membership.agreedLinks(siteId).some(({ hash }) => hash === link.hash);
    return [{ siteId, link, approvers, neededCount: majorityOf(others.length), isAgreed }];
  });
}

function requestedLink(siteId: SiteId, { ledger }: Pick<KitRequestComponents, "ledger">): RecoveryLink | undefined {
  const request = current({ ledger }, siteId, "kit-request", "");
  if (request === undefined) return undefined;
  const link = parseMajorityLink(request.link);
  const chain = ledger.recoveryKeys.chainOf(siteId);
  // Or it was agreed.
  const isNext = link.number === chain.length + 2 || chain[link.number - 2]?.hash === link.hash;
  const names = link.logs.includes(ledger.currentLog(siteId)!.log.id);
  return link.siteId === siteId && isNext && names ? link : undefined;
}

/** What the site's current machine says. */
function current<Name extends StatementKind>(
  { ledger }: Pick<KitRequestComponents, "ledger">,
  siteId: SiteId,
  kind: Name,
  subject: string,
): StatementOf<Name> | undefined {
  const stated = ledger.statement(siteId, kind, subject);
  if (stated === undefined || stated.logId !== ledger.currentLog(siteId)?.log.id) return undefined;
  return stated.statement as unknown as StatementOf<Name>;
}

/** Whether somebody who has the site's kit says now, at any site, that this was not its people's wish. */
export function hasObjection(
  { ledger, membership }: KitRequestComponents,
  { siteId, link }: Pick<KitRequest, "siteId" | "link">,
): boolean {
  return membership.sites().some((site) => {
    const said = ledger.statement(site, "kit-objection", `${siteId}/${link.hash}`)?.statement;
    return said !== undefined && ledger.recoveryKeys.isNewest(siteId, said.key) && isKitObjection(link.hash, said);
  });
}
