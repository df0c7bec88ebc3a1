/** Federations of replicas, by all the steps of joining. */
import assert from "node:assert/strict";
import { type RosterFields, encodeRosterBody } from "#ledger/roster.ts";
import type { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, exchange, pull } from "#test/support/replica.ts";

/** Every two exchange and take their steps, until nothing changes any more. */
export async function settle(replicas: readonly Replica[]): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const before = states(replicas);
    for (const one of replicas) {
      await one.step();
      for (const other of replicas) if (one !== other) await exchange(one, other);
    }
    if (states(replicas) === before) return;
  }
  assert.fail("it does not settle");
}
/** What must not change any more. */
const states = (replicas: readonly Replica[]): string =>
  replicas.map(({ ledger, membership }) => ledger.digest() + membership.roster!.hash).join();

/** A federation of so many members, by all the steps of joining. */
export async function federationOf(count: number): Promise<Replica[]> {
  const founder = await Replica.found("site 0");
  const replicas = [founder];
  while (replicas.length < count) {
    const guest = await Replica.open(`site ${replicas.length}`);
    await founder.letIn(guest);
    await pull(guest, founder);
    for (const replica of replicas) replica.wishes.push({ action: "admit", siteId: guest.siteId });
    replicas.push(guest);
    await settle(replicas);
  }
  return replicas;
}

/** The body of a next roster with these changes. */
export const rosterAfter = (replica: Replica, changes: Partial<RosterFields>): Buffer => {
  const { roster } = replica.membership;
  return encodeRosterBody({ ...roster!, number: roster!.number + 1, previous: roster!.hash, ...changes });
};
/** The members of a next roster that has these too. */
export const withMember = (replica: Replica, ...added: LedgerAuthor[]): RosterFields["members"] =>
  [...replica.membership.roster!.members, ...added.map(({ siteId }) => ({ siteId, inviter: null }))].sort(
    (one, other) => (one.siteId < other.siteId ? -1 : 1),
  );
