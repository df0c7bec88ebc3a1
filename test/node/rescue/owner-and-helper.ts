/** An owner whose primes two holders have, a helper that has none, and tickets by the owner's recovery key. */
import { createHash } from "node:crypto";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { type RestoreTicket, signRestoreTicket } from "#protocol/restore-ticket.ts";
import { ReplicatingFederation, type ReplicatingSite } from "#test/node/replication/replicating-site.ts";

/** As test/support/ledger-author.ts makes it. */
export const recoverySeedOf = ({ name }: ReplicatingSite): Buffer =>
  deriveRecoveryKey(createHash("sha256").update(name).digest()).seed;

let ticketsCount = 0;
/** For `helper`, of `owner`, unless it is changed. */
export function ticketFor(
  owner: ReplicatingSite,
  helper: ReplicatingSite,
  changes: Partial<RestoreTicket> = {},
  recoverySeed = recoverySeedOf(owner),
): Buffer {
  const id = Buffer.alloc(16, ++ticketsCount);
  const expiresMs = helper.clock.now() + limits.restoreTicketLifeMs;
  const ticket = { siteId: owner.siteId, peer: helper.peerKey, id, expiresMs, ...changes };
  return signRestoreTicket(ticket, recoverySeed);
}

export async function ownerAndHelper() {
  const all = new ReplicatingFederation();
  const owner = await all.add("owner");
  const [one, two, helper] = [await all.add("one"), await all.add("two"), await all.add("helper")];
  const ids = await owner.backUp("first", 80);
  const slices = await owner.slicesFor([one, two]);
  for (const holder of [one, two]) await owner.replicate(holder, slices);
  await all.spread();
  return { all, owner, one, two, helper, ids };
}
