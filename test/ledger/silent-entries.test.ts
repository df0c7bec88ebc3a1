/** Goal: what former guests have said costs the others no more than so much, and is there again when one comes back. Method: guests that come and go. */
import assert from "node:assert/strict";
import { entryKey, readKeptLedger } from "#ledger/kept-ledger.ts";
import { forgetSilent } from "#ledger/silent-entries.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { federationOf, rosterAfter, settle, withMember } from "#test/support/federation.ts";
import { Replica, pull, signedRoster } from "#test/support/replica.ts";

const test = suite("silent entries");

const countOf = ({ store }: Replica, guest: Replica): number =>
  [...store.values.keys()].filter((key) => key.startsWith(entryKey(guest.author.log.id, 0).slice(0, 70))).length;

/** What a replica does when it reads its store, with so much room for those that may not speak. */
async function forget({ store, membership }: Replica, mostBytes: number): Promise<number> {
  const kept = await readKeptLedger(store);
  const isSilent = (log: { id: never; certificate: { siteId: SiteId } }): boolean =>
    membership.lastAllowedSeq(log.certificate.siteId, log.id) < 0;
  return forgetSilent(store, kept, { isSilent: isSilent as never, mostBytes });
}

test("of former guests those that have said most are forgotten, until the others have room, and no member is", async () => {
  const [inviter, other] = (await federationOf(2)) as [Replica, Replica];
  const guests: Replica[] = [];
  for (const [at, entriesCount] of [3, 30, 20, 2].entries()) {
    const guest = await Replica.open(`guest ${at}`);
    guests.push(guest);
    await inviter.letIn(guest);
    await pull(guest, inviter);
    for (let count = 0; count < entriesCount; count++)
      await guest.own.write({ kind: "loss", owner: inviter.siteId, slice: count % 16, count });
    await settle([inviter, other, guest]);
    const also = [inviter.ledger.statement(inviter.siteId, "guest", guest.siteId)!];
    await inviter.own.withdrawIdle({ also, leastCount: 1 });
    await settle([inviter, other]);
  }
  const before = other.ledger.digest();
  assert.deepEqual(
    guests.map((guest) => countOf(other, guest)),
    [3, 30, 20, 2],
  );
  assert.equal(await forget(other, 1_000_000), 0);
  assert.equal(await forget(other, 2500), 50);
  assert.deepEqual(
    guests.map((guest) => countOf(other, guest)),
    [3, 0, 0, 2],
  );
  const again = await other.reopened();
  assert.equal(again.ledger.digest(), before);
  const body = rosterAfter(inviter, { members: withMember(inviter, guests[1]!.author) });
  const roster = signedRoster(body, [inviter.author, other.author]);
  for (const { membership } of [inviter, again, guests[1]!]) await membership.offer([roster]);
  await settle([inviter, again, guests[1]!]);
  assert.equal(again.ledger.digest(), inviter.ledger.digest());
  assert.equal(countOf(again, guests[1]!), 30, "it has given it once more");
  assert.equal((await again.reopened()).ledger.digest(), inviter.ledger.digest());
});

test("what a full disk does not let it forget costs no more than the room", async () => {
  const [inviter, other] = (await federationOf(2)) as [Replica, Replica];
  const guest = await Replica.open("guest");
  await inviter.letIn(guest);
  await pull(guest, inviter);
  for (let count = 0; count < 3; count++)
    await guest.own.write({ kind: "loss", owner: inviter.siteId, slice: 0, count });
  await settle([inviter, other, guest]);
  const also = [inviter.ledger.statement(inviter.siteId, "guest", guest.siteId)!];
  await inviter.own.withdrawIdle({ also, leastCount: 1 });
  await settle([inviter, other]);
  const { write } = other.store;
  other.store.write = () => Promise.reject(new CostorError("store-full", "as the test wants it"));
  await forget(other, 0);
  assert.equal(countOf(other, guest), 3);
  other.store.write = write;
  await forget(other, 0);
  assert.equal(countOf(other, guest), 0);
});

test.run();
