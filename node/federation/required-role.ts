/** What a site has to be in its federation so that what people tell it comes about. All throw `not-in-federation`. */
import { CostorError } from "#protocol/errors.ts";
import type { FederationId } from "#protocol/ids.ts";
import type { Federation } from "./federation.ts";

/** Of who has no vote. */
const nameOfRole = {
  guest: "a guest until it is admitted",
  expelled: "in the federation no more, until its members admit it again",
  none: "in the federation no more, or not yet, until its members admit it",
} as const;

/** Also one that it is out of by now. */
export function requireFederation({ parts }: Federation): FederationId {
  const { federationId } = parts.membership;
  if (federationId === undefined) throw new CostorError("not-in-federation", "this site is in no federation");
  return federationId;
}

/** What a site that is out says does not count. */
export function requireIn(federation: Federation): FederationId {
  const federationId = requireFederation(federation);
  const { role } = federation.parts.membership.roleOf(federation.siteId);
  if (role === "expelled" || role === "none")
    throw new CostorError("not-in-federation", `this site is ${nameOfRole[role]}`);
  return federationId;
}

/** `what` follows "only members". */
export function requireMember(federation: Federation, what: string): FederationId {
  const federationId = requireFederation(federation);
  const { role } = federation.parts.membership.roleOf(federation.siteId);
  if (role !== "member")
    throw new CostorError("not-in-federation", `only members ${what}, and this site is ${nameOfRole[role]}`);
  return federationId;
}
