/**
 * Goal: an owner's primes come in their order, each verified, from whichever holders have them: dead, lying, silent and lacking ones are worked
 * around and told. Method: whole sites in memory, with holders that the test plays.
 */
import assert from "node:assert/strict";
import type { Clock } from "#ledger/clock.ts";
import type { Channel } from "#ledger/peers.ts";
import { decodeMessage, encodeBatch, encodeMessage } from "#node/replication/frame-codec.ts";
import { primesProtocol, primesRequest } from "#node/replication/primes-messages.ts";
import { idsToBytes } from "#node/replication/replicate-messages.ts";
import { PrimeGathering } from "#node/rescue/prime-gathering.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { ReplicatingFederation, ReplicatingSite } from "#test/node/replication/replicating-site.ts";
import { neverLate } from "#test/node/replication/test-clock.ts";
import { suite } from "#test/support/suite.ts";
import { ownerAndHelper, ticketFor } from "./owner-and-helper.ts";

const test = suite("gathering of primes");

function gathering(owner: ReplicatingSite, helper: ReplicatingSite, clock: Clock = neverLate) {
  const failures: [SiteId, unknown][] = [];
  const end = new AbortController();
  const gathered = new PrimeGathering(
    {
      ...{
        self: helper.siteId,
        clock,
        peers: helper.peers,
        sites: helper.view,
        ledger: helper.ledger,
        store: helper.store,
      },
      onFailure: (holder, error) => void failures.push([holder, error]),
    },
    { owner: owner.siteId, proof: { ticket: ticketFor(owner, helper) }, signal: end.signal },
  );
  return { gathered, failures, end };
}

const read = async (gathered: PrimeGathering, ids: readonly PrimeId[]) => Array.fromAsync(gathered.readPrimes(ids));

/** Holds the owner's slices by what it says, and does what the test wants. */
async function playedHolder(
  all: ReplicatingFederation,
  owner: ReplicatingSite,
  one: ReplicatingSite,
  serve: (channel: Channel, ids: readonly PrimeId[]) => Promise<void>,
): Promise<ReplicatingSite> {
  const played = await all.add("played", { serves: false });
  for (let slice = 0; slice < 16; slice++) {
    const { statement } = one.receiptFor(owner.siteId, slice)!;
    await played.say(statement);
  }
  played.peers.serve(primesProtocol, async (channel) => {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      const request = decodeMessage(frame, primesRequest);
      if (request.kind === "fetch") await serve(channel, request.ids);
    }
  });
  await played.peers.start();
  await all.spread();
  return played;
}

async function assertAll(owner: ReplicatingSite, gathered: PrimeGathering, ids: readonly PrimeId[]): Promise<void> {
  const asked = ids.toReversed();
  const got = await read(gathered, asked);
  assert.deepEqual(
    got.map(({ id }) => id),
    asked,
  );
  for (const { id, stored } of got) assert.ok((await owner.store.get(id)).equals(stored));
}

test("they come in the asked order, from both holders", async () => {
  const { owner, helper, ids } = await ownerAndHelper();
  const { gathered, failures } = gathering(owner, helper);
  await assertAll(owner, gathered, ids);
  assert.deepEqual(failures, []);
  assert.equal(gathered.totals.primesCount, ids.length);
});

test("both holders are asked at once, and the one that proves slow is asked for little from then on", async () => {
  const { all, owner, one, two, helper, ids } = await ownerAndHelper();
  owner.peers.stop();
  two.peers.stop();
  let passedMs = 0;
  const partCounts: number[] = [];
  await playedHolder(all, owner, one, async (channel, asked) => {
    partCounts.push(asked.length);
    // The other one has answered by then.
    for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
    passedMs += 500 * asked.length;
    const primes = await Promise.all(asked.map(async (id) => ({ id, stored: await owner.store.get(id) })));
    await channel.send(encodeBatch(primes));
    await channel.send(encodeMessage({ kind: "fetched", lacking: Buffer.alloc(0) }));
  });
  const { gathered, failures } = gathering(owner, helper, { ...neverLate, elapsedMs: () => passedMs });
  await assertAll(owner, gathered, ids);
  await assertAll(owner, gathered, ids);
  const fewCount = ids.length / 8;
  assert.ok(partCounts[0]! >= 4 && partCounts[0]! <= 12, `it was asked for ${partCounts[0]} of 16 at first`);
  const laterCount = partCounts.slice(1).reduce((sum, count) => sum + count, 0);
  assert.ok(laterCount < fewCount, `it was asked for ${laterCount} later on`);
  assert.deepEqual(
    failures.filter(([holder]) => ![owner.siteId, two.siteId].includes(holder)),
    [],
  );
});

test("a dead holder is told, and the other gives all", async () => {
  const { owner, one, helper, ids } = await ownerAndHelper();
  one.peers.stop();
  const { gathered, failures } = gathering(owner, helper);
  await assertAll(owner, gathered, ids);
  assert.deepEqual(
    [...new Set(failures.map(([holder]) => holder))].filter((holder) => holder !== one.siteId),
    [],
  );
});

test("a copy of this site's own that is not what its id says is left, and others give it", async () => {
  const { owner, helper, ids } = await ownerAndHelper();
  const store = { hasKept: async () => ids.map(() => true), get: async () => Buffer.from("what the disk made of it") };
  const { gathered } = gathering(owner, Object.assign(Object.create(helper), { store }) as ReplicatingSite);
  await assertAll(owner, gathered, ids);
});

test("what a holder has lost comes from the other, and what nobody has is told as missing", async () => {
  const { owner, one, two, helper, ids } = await ownerAndHelper();
  owner.peers.stop();
  for (const id of ids.slice(0, 40)) one.store.lose(id);
  for (const id of ids.slice(40)) two.store.lose(id);
  const { gathered } = gathering(owner, helper);
  await assertAll(owner, gathered, ids);
  one.store.lose(ids[50]!);
  await assert.rejects(
    read(gathered, [ids[49]!, ids[50]!]),
    (error) => isCostorError(error, "prime-missing") && error.details["id"] === ids[50],
  );
});

test("wrong bytes, and primes that were not asked for, never get through, and who sends them is avoided from then on", async () => {
  for (const lie of ["wrong", "unasked"] as const) {
    const { all, owner, one, two, helper, ids } = await ownerAndHelper();
    owner.peers.stop();
    two.peers.stop();
    let askedCount = 0;
    const liar = await playedHolder(all, owner, one, async (channel, asked) => {
      askedCount++;
      const stored = await owner.store.get(ids.find((id) => id !== asked[0])!);
      const id = lie === "wrong" ? asked[0]! : ids.find((other) => !asked.includes(other))!;
      await channel.send(encodeBatch([{ id, stored }]));
    });
    const { gathered, failures } = gathering(owner, helper);
    await assertAll(owner, gathered, ids);
    await assertAll(owner, gathered, ids);
    const told = failures.filter(([holder]) => holder === liar.siteId).map(([, error]) => error);
    assert.ok(
      told.length > 0 &&
        told.every((error) => isCostorError(error, lie === "wrong" ? "prime-mismatch" : "peer-misbehaved")),
    );
    assert.ok(askedCount <= 2, `it was asked ${askedCount} times`);
  }
});

test("a holder that says nothing is not waited for", async () => {
  const { all, owner, one, two, helper, ids } = await ownerAndHelper();
  owner.peers.stop();
  two.peers.stop();
  await playedHolder(all, owner, one, () => new Promise(() => undefined));
  const { gathered, end } = gathering(owner, helper, helper.clock);
  await assertAll(owner, gathered, ids);
  end.abort();
});

test("a holder that lacks everything, and says so, is passed over", async () => {
  const { all, owner, one, two, helper, ids } = await ownerAndHelper();
  owner.peers.stop();
  two.peers.stop();
  await playedHolder(all, owner, one, (channel, asked) =>
    channel.send(encodeMessage({ kind: "fetched", lacking: idsToBytes(asked) })),
  );
  const { gathered } = gathering(owner, helper);
  await assertAll(owner, gathered, ids);
});

test("this site's own copies are taken first, and the others' only where they are lacking here", async () => {
  const { owner, one, two, ids } = await ownerAndHelper();
  owner.peers.stop();
  const { gathered, failures } = gathering(owner, one);
  one.store.lose(ids[7]!);
  await assertAll(owner, gathered, ids);
  two.peers.stop();
  await assertAll(owner, gathered, ids.toSpliced(7, 1));
  assert.deepEqual(failures, []);
  await assert.rejects(read(gathered, [ids[7]!]), (error) => isCostorError(error, "prime-missing"));
});

test("what the consumer's signal ends leaves the holders usable", async () => {
  const { owner, helper, ids } = await ownerAndHelper();
  const { gathered } = gathering(owner, helper);
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  await assert.rejects(Array.fromAsync(gathered.readPrimes(ids, stop.signal)), /enough/);
  await assertAll(owner, gathered, ids);
});

test.run();
