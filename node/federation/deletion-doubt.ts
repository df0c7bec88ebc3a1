/** Why a site in a federation must take nothing of its own away now. When in doubt, everything stays. docs/specs/retention.md, Doubt */
import type { Federation } from "./federation.ts";

/** One sentence for people. `known`: the snapshots that this site has, has ended or has put aside, as `agent/snapshot`. */
export async function deletionDoubt(
  federation: Federation,
  known: () => Promise<ReadonlySet<string>>,
): Promise<string | undefined> {
  const { membership, transport, ledger } = federation.parts;
  if (membership.roster === undefined) return undefined;
  const [blocking] = federation.blocking();
  if (blocking !== undefined) return blocking;
  const hasOthers = membership.sites().some((site) => site !== federation.siteId);
  if (hasOthers && transport.connected().length === 0) return "no other site is reached now";
  // In this order: one that comes meanwhile is here before the ledger has it.
  const stated = ledger.statements(federation.siteId, "snapshot");
  const here = await known();
  const isForgotten = stated.some(({ statement: { agent, snapshot } }) => !here.has(`${agent}/${snapshot}`));
  return isForgotten ? "the ledger tells of snapshots of this site that are not here" : undefined;
}
