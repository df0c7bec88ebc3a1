/**
 * Goal: a holder serves an owner's primes to the helper that a ticket of the owner's recovery key names, and to nobody else, for as long as
 * it is good. Method: whole sites; tickets that are wrong in one thing each.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { fetchPrimes } from "#node/replication/fetch-primes.ts";
import { decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { primesAnswer, primesProtocol } from "#node/replication/primes-messages.ts";
import { Tickets } from "#node/replication/tickets.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { signRecoveryLink } from "#protocol/recovery-chain.ts";
import { ownerAndHelper, recoverySeedOf, ticketFor } from "#test/node/rescue/owner-and-helper.ts";
import { suite } from "#test/support/suite.ts";
import type { ReplicatingSite } from "./replicating-site.ts";

const test = suite("tickets");

interface Fetch {
  readonly by: ReplicatingSite;
  readonly from: ReplicatingSite;
  readonly owner: ReplicatingSite;
  readonly ids: readonly PrimeId[];
  readonly ticket: Uint8Array;
}

async function fetched({ by, from, owner, ids, ticket }: Fetch): Promise<PrimeId[]> {
  const init = { peer: from.peerKey, owner: owner.siteId, ids, proof: { ticket } };
  return (await Array.fromAsync(fetchPrimes({ peers: by.peers }, init))).map(({ id }) => id).toSorted();
}

const isRefused = (promise: Promise<unknown>, code: ErrorCode, message?: RegExp) =>
  assert.rejects(
    promise,
    (error) => isCostorError(error, code) && (message === undefined || message.test(error.message)),
  );

test("with a ticket a helper that holds nothing gets all of the owner's primes from each holder", async () => {
  const { owner, one, two, helper, ids } = await ownerAndHelper();
  const ticket = ticketFor(owner, helper);
  for (const from of [one, two]) assert.deepEqual(await fetched({ by: helper, from, owner, ids, ticket }), ids);
});

test("another owner's primes are not served on it, nor those that are not kept for the owner", async () => {
  const { all, owner, one, helper, ids } = await ownerAndHelper();
  const second = await all.add("second");
  const theirs = await second.backUp("theirs", 5);
  await second.replicate(one, await second.slicesFor([one]));
  const ticket = ticketFor(owner, helper);
  assert.deepEqual(await fetched({ by: helper, from: one, owner, ids: [...theirs, ids[0]!], ticket }), [ids[0]]);
  await isRefused(
    fetched({ by: helper, from: one, owner: second, ids: theirs, ticket }),
    "peer-refused",
    /another owner/,
  );
});

test("a site that has got hold of another helper's ticket gets nothing by it", async () => {
  const { all, owner, one, two, helper, ids } = await ownerAndHelper();
  const thief = await all.add("thief");
  const ticket = ticketFor(owner, helper);
  await fetched({ by: helper, from: one, owner, ids, ticket });
  for (const from of [one, two])
    await isRefused(fetched({ by: thief, from, owner, ids, ticket }), "peer-refused", /for another site/);
});

test("a ticket that another key has signed, or that was changed, is refused", async () => {
  const { owner, one, two, helper, ids } = await ownerAndHelper();
  const forged = ticketFor(two, helper, { siteId: owner.siteId });
  await isRefused(fetched({ by: helper, from: one, owner, ids, ticket: forged }), "peer-refused", /not signed/);
  const changed = Buffer.from(ticketFor(owner, helper));
  changed[changed.length - 1]! ^= 1;
  await isRefused(fetched({ by: helper, from: one, owner, ids, ticket: changed }), "peer-refused", /not signed/);
});

test("when a kit was replaced, the former one gives no tickets any more, and the new one does", async () => {
  const { owner, one, helper, ids } = await ownerAndHelper();
  const next = deriveRecoveryKey(randomBytes(32));
  const fields = { siteId: owner.siteId, number: 2, key: next.publicKey, logs: [owner.author.log.id] };
  const link = signRecoveryLink(fields, recoverySeedOf(owner));
  const certificate = signEpochCertificate(owner.author.log.certificate, next.seed, [link]);
  const fetch = { by: helper, from: one, owner, ids };
  const newer = ticketFor(owner, helper, {}, next.seed);
  await isRefused(fetched({ ...fetch, ticket: newer }), "peer-refused", /not signed/);
  await one.ledger.offer({ certificates: [certificate] });
  await isRefused(fetched({ ...fetch, ticket: ticketFor(owner, helper) }), "peer-refused", /not signed/);
  assert.deepEqual(await fetched({ ...fetch, ticket: newer }), ids);
});

test("it counts until an hour after it has expired, by the holder's own clock, and not if it is good for too long", async () => {
  const { owner, one, helper, ids } = await ownerAndHelper();
  const ticket = ticketFor(owner, helper);
  const { restoreTicketLifeMs, restoreTicketToleranceMs } = limits;
  const fetch = { by: helper, from: one, owner, ids: ids.slice(0, 1), ticket };
  one.clock.wallMs += restoreTicketLifeMs + restoreTicketToleranceMs;
  assert.equal((await fetched(fetch)).length, 1);
  one.clock.wallMs += 1;
  await isRefused(fetched(fetch), "peer-refused", /expired/);
  one.clock.wallMs = helper.clock.wallMs - restoreTicketToleranceMs;
  assert.equal((await fetched(fetch)).length, 1);
  one.clock.wallMs -= 1;
  await isRefused(fetched(fetch), "peer-refused", /too long/);
});

test("a helper that is expelled gets nothing by it any more", async () => {
  const { owner, one, helper, ids } = await ownerAndHelper();
  const ticket = ticketFor(owner, helper);
  assert.equal((await fetched({ by: helper, from: one, owner, ids, ticket })).length, ids.length);
  helper.role = "none";
  await isRefused(fetched({ by: helper, from: one, owner, ids, ticket }), "peer-refused");
});

test("a ticket that its helper has cancelled counts no more, and nobody else cancels it", async () => {
  const { owner, one, two, helper, ids } = await ownerAndHelper();
  const ticket = ticketFor(owner, helper);
  const cancel = async (by: ReplicatingSite): Promise<string> => {
    const channel = await by.peers.open(one.peerKey, primesProtocol);
    await channel.send(encodeMessage({ kind: "cancel", ticket }));
    return decodeMessage((await channel.receive())!, primesAnswer).kind;
  };
  assert.equal(await cancel(two), "refused");
  assert.equal((await fetched({ by: helper, from: one, owner, ids, ticket })).length, ids.length);
  assert.equal(await cancel(helper), "cancelled");
  await isRefused(fetched({ by: helper, from: one, owner, ids, ticket }), "peer-refused", /cancelled/);
  assert.equal(
    (await fetched({ by: helper, from: one, owner, ids, ticket: ticketFor(owner, helper) })).length,
    ids.length,
  );
});

test("a holder tells of each ticket once, and remembers the newest of many", async () => {
  const { owner, helper } = await ownerAndHelper();
  const used: string[] = [];
  const tickets = new Tickets({
    clock: helper.clock,
    ledger: helper.ledger,
    onUsed: ({ id }) => void used.push(id.toString("hex")),
  });
  const ticket = ticketFor(owner, helper);
  for (let i = 0; i < 3; i++) tickets.check(ticket, owner.siteId, helper.peerKey);
  assert.equal(used.length, 1);
  for (let i = 0; i < limits.restoreTicketsCount; i++) {
    const id = Buffer.alloc(16);
    id.writeUInt32BE(i + 1);
    tickets.cancel(ticketFor(owner, helper, { id }), helper.peerKey);
  }
  tickets.cancel(ticket, helper.peerKey);
  assert.throws(() => tickets.check(ticket, owner.siteId, helper.peerKey), /cancelled/);
});

test.run();
