/**
 * Goal: batches that are under way together are answered in order and only when they are durable, are bounded, and leave nothing behind
 * when a run breaks: no acknowledged prime that is not kept, no room that is promised twice or held for nobody.
 * Method: a real holder whose disk a test opens batch by batch, in any order; a random one cut at any frame.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import * as fc from "fast-check";
import type { Channel } from "#ledger/peers.ts";
import { decodeMessage, encodeBatch, encodeMessage } from "#node/replication/frame-codec.ts";
import { HolderService } from "#node/replication/holder-service.ts";
import type { SliceToSend } from "#node/replication/owner-run.ts";
import { type ReplicateAnswer, replicateAnswer, replicateProtocol } from "#node/replication/replicate-messages.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";

const test = suite("under way");
const PRIME_BYTES = 1000;

/** When everything that follows in memory has followed. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

/** A holder each of whose batches becomes durable when the test says so. */
async function gatedHolder(all: ReplicatingFederation, init: { offeredBytes?: number } = {}) {
  const holder = await all.add("holder", { ...init, serves: false });
  const gates: { open: () => void; fail: (error: Error) => void }[] = [];
  const kept: typeof holder.kept = {
    ...holder.kept,
    put: async (owner, batch) => {
      await new Promise<void>((open, fail) => void gates.push({ open, fail }));
      return holder.store.putFor(owner, batch);
    },
  };
  const components = { ...holder.holderComponents(), kept };
  new HolderService({ ...components, peers: holder.peers, sites: holder.view }).start(new AbortController().signal);
  holder.peers.start();
  return { holder, gates };
}

/** An owner in conversation with it about the slice of which it has most. */
async function talk(all: ReplicatingFederation, holder: ReplicatingSite, name = "owner", primesCount = 120) {
  const owner = await all.add(name);
  await owner.backUp("first", primesCount, PRIME_BYTES);
  const slices = await owner.slicesFor([holder]);
  const slice = slices.toSorted((a, b) => b.ids.length - a.ids.length)[0]!;
  const primes = await Promise.all(slice.ids.map(async (id) => ({ id, stored: await owner.store.get(id) })));
  const channel = await owner.peers.open(holder.peerKey, replicateProtocol);
  const answers: ReplicateAnswer[] = [];
  void takeAnswers(channel, answers);
  await channel.send(reserveOf(owner, slice));
  await settled();
  return { owner, channel, answers, slice, slices, primes };
}

const reserveOf = (owner: ReplicatingSite, { slice, bytes, namingEntry }: SliceToSend): Buffer =>
  encodeMessage({ kind: "reserve", owner: Buffer.from(owner.siteId, "hex"), slice, bytes, entry: namingEntry });

async function takeAnswers(channel: Channel, answers: ReplicateAnswer[]): Promise<void> {
  try {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive())
      answers.push(decodeMessage(frame, replicateAnswer));
  } catch {
    // The test has broken it.
  }
}

const kinds = (answers: readonly ReplicateAnswer[]): string[] => answers.map(({ kind }) => kind);
const batchesOf = (primes: readonly StoredPrime[]): Buffer[] => primes.map((prime) => encodeBatch([prime]));
const keptIds = async (holder: ReplicatingSite, owner: ReplicatingSite): Promise<PrimeId[]> =>
  holder.keptFor(owner.siteId);

test("batches are taken up before earlier ones are durable, and answered in their order when all before are", async () => {
  const all = new ReplicatingFederation();
  const { holder, gates } = await gatedHolder(all);
  const { channel, answers, primes } = await talk(all, holder);
  for (const batch of batchesOf(primes.slice(0, 3))) await channel.send(batch);
  await settled();
  assert.equal(gates.length, 3, "all are on their way to the disk");
  gates[2]!.open();
  gates[1]!.open();
  await settled();
  assert.deepEqual(kinds(answers), ["granted"], "nothing is said before the first is durable");
  gates[0]!.open();
  await settled();
  assert.deepEqual(kinds(answers), ["granted", "kept", "kept", "kept"]);
});

test("what is no batch waits until all that was sent before it is durable", async () => {
  const all = new ReplicatingFederation();
  const { holder, gates } = await gatedHolder(all);
  const { channel, answers, primes, slice } = await talk(all, holder);
  await channel.send(encodeBatch(primes));
  await channel.send(encodeMessage({ kind: "finish", entry: slice.entry, extras: Buffer.alloc(0) }));
  await settled();
  assert.deepEqual(kinds(answers), ["granted"]);
  gates[0]!.open();
  await settled();
  assert.deepEqual(kinds(answers), ["granted", "kept", "received"]);
});

test("a refused batch ends the run after the answers to those before it, and is not followed by any", async () => {
  const all = new ReplicatingFederation();
  const { holder, gates } = await gatedHolder(all);
  const { owner, channel, answers, primes } = await talk(all, holder);
  const [one, two, three, four] = batchesOf(primes);
  for (const batch of [one!, two!, three!]) await channel.send(batch);
  await settled();
  gates[1]!.fail(new CostorError("prime-mismatch", "it has other bytes"));
  gates[2]!.open();
  await settled();
  await channel.send(four!).catch(() => undefined);
  assert.deepEqual(kinds(answers), ["granted"]);
  gates[0]!.open();
  await settled();
  assert.equal(gates.length, 3, "what comes after the failure is not taken up");
  assert.deepEqual(kinds(answers), ["granted", "kept", "refused"]);
  assert.deepEqual(await keptIds(holder, owner), [primes[0]!.id, primes[2]!.id].toSorted());
});

test("a frame that is refused at once still leaves their answers to the batches before it", async () => {
  const all = new ReplicatingFederation();
  const { holder, gates } = await gatedHolder(all);
  const { channel, answers, primes, slice } = await talk(all, holder);
  await channel.send(encodeBatch(primes.slice(0, 1)));
  const stored = Buffer.alloc(10);
  const ofAnother = `${((slice.slice + 1) % 16).toString(16)}${primes[0]!.id.slice(1)}` as PrimeId;
  await channel.send(encodeBatch([{ id: ofAnother, stored }]));
  await settled();
  assert.deepEqual(kinds(answers), ["granted"]);
  gates[0]!.open();
  await settled();
  assert.deepEqual(kinds(answers), ["granted", "kept", "refused"]);
});

test("no more is taken up than was reserved, however much is under way", async () => {
  const all = new ReplicatingFederation();
  const { holder, gates } = await gatedHolder(all);
  const { owner, channel, answers, primes, slice } = await talk(all, holder);
  await channel.send(reserveOf(owner, { ...slice, bytes: 2.5 * PRIME_BYTES }));
  for (const batch of batchesOf(primes.slice(0, 3))) await channel.send(batch);
  await settled();
  assert.equal(gates.length, 2);
  for (const gate of gates) gate.open();
  await settled();
  assert.deepEqual(kinds(answers), ["granted", "granted", "kept", "kept", "refused"]);
  assert.equal((await keptIds(holder, owner)).length, 2);
});

test("room for what is under way is promised to nobody else until it is durable, and counted once when it is", async () => {
  const all = new ReplicatingFederation();
  const offeredBytes = 10 * PRIME_BYTES;
  const { holder, gates } = await gatedHolder(all, { offeredBytes });
  const { owner, channel, primes, slice } = await talk(all, holder);
  const other = await talk(all, holder, "other");
  const ask = async (bytes: number): Promise<string | undefined> => {
    const before = other.answers.length;
    await other.channel.send(reserveOf(other.owner, { ...other.slice, bytes }));
    await settled();
    return other.answers.slice(before).map((answer) => (answer.kind === "refused" ? answer.code : answer.kind))[0];
  };
  await channel.send(reserveOf(owner, { ...slice, bytes: 4 * PRIME_BYTES }));
  await settled();
  for (const batch of batchesOf(primes.slice(0, 4))) await channel.send(batch);
  await settled();
  assert.equal(gates.length, 4);
  for (const gate of gates.slice(0, 2)) gate.open();
  await settled();
  assert.equal(await ask(6 * PRIME_BYTES + 1), "quota-exceeded");
  assert.equal(await ask(6 * PRIME_BYTES), "granted", "two are kept, two are under way, none is counted twice");
  await ask(0);
  // The line breaks while two batches are under way: their room is held until they have settled, and no longer.
  channel.abort();
  await settled();
  assert.equal(await ask(6 * PRIME_BYTES + 1), "quota-exceeded");
  gates[2]!.open();
  gates[3]!.fail(new CostorError("store-full", "the disk is full"));
  await settled();
  assert.equal((await keptIds(holder, owner)).length, 3);
  assert.equal(await ask(7 * PRIME_BYTES + 1), "quota-exceeded");
  assert.equal(await ask(7 * PRIME_BYTES), "granted");
});

test("room is held for a batch under way though its run has failed, or asks for another slice", async () => {
  for (const how of ["failed", "asks"] as const) {
    const all = new ReplicatingFederation();
    const { holder, gates } = await gatedHolder(all, { offeredBytes: 10 * PRIME_BYTES });
    const { owner, channel, primes, slice, slices } = await talk(all, holder);
    const other = await talk(all, holder, "other");
    await other.channel.send(reserveOf(other.owner, { ...other.slice, bytes: 0 }));
    await channel.send(reserveOf(owner, { ...slice, bytes: 4 * PRIME_BYTES }));
    for (const batch of batchesOf(primes.slice(0, 2))) await channel.send(batch);
    await settled();
    if (how === "failed") gates[0]!.fail(new CostorError("prime-mismatch", "it has other bytes"));
    else await channel.send(reserveOf(owner, { ...slices.find((one) => one !== slice)!, bytes: 0 }));
    await settled();
    const before = other.answers.length;
    await other.channel.send(reserveOf(other.owner, { ...other.slice, bytes: 10 * PRIME_BYTES }));
    await settled();
    assert.deepEqual(kinds(other.answers.slice(before)), ["refused"], how);
    for (const gate of gates) gate.open();
    await settled();
  }
});

test("a holder has no more on its way to the disk than its room, whatever owners send", async () => {
  const all = new ReplicatingFederation();
  const { holder, gates } = await gatedHolder(all);
  const stored = Buffer.alloc(limits.primeStoredBytes);
  const [one, two] = [await talk(all, holder, "one"), await talk(all, holder, "two")];
  for (const { owner, channel, slice } of [one, two]) await channel.send(reserveOf(owner, { ...slice, bytes: 1e9 }));
  const sending = [one, two].map(async ({ channel, slice }) => {
    const id = `${slice.slice.toString(16)}${"0".repeat(63)}` as PrimeId;
    for (let sent = 0; sent < 4; sent++) await channel.send(encodeBatch([{ id, stored }]));
  });
  for (const sent of sending) sent.catch(() => undefined);
  await settled();
  assert.equal(gates.length, Math.floor(limits.replicateKeepingBytes / stored.length));
  for (const { channel } of [one, two]) channel.abort();
  for (let at = 0; at < gates.length; at++) gates[at]!.fail(new CostorError("prime-mismatch", "it has other bytes"));
  await settled();
});

test("an owner that takes no answers has no more than so many batches taken up", async () => {
  const all = new ReplicatingFederation();
  const holder = await all.add("holder", { serves: false });
  let takenCount = 0;
  const kept: typeof holder.kept = {
    ...holder.kept,
    put: async (owner, batch) => (takenCount++, holder.store.putFor(owner, batch)),
  };
  const peers: typeof holder.peers = Object.create(holder.peers) as never;
  // The holder's answers go nowhere, and it is not told so.
  peers.serve = (protocol, handler) =>
    holder.peers.serve(protocol, (channel) => {
      let sentCount = 0;
      const deaf: Channel = Object.assign(Object.create(channel) as Channel, {
        peer: channel.peer,
        send: (frame: Uint8Array) => (sentCount++ === 0 ? channel.send(frame) : new Promise<void>(() => undefined)),
        receive: (signal?: AbortSignal) => channel.receive(signal),
      });
      return handler(deaf);
    });
  new HolderService({ ...holder.holderComponents(), kept, peers, sites: holder.view }).start(
    new AbortController().signal,
  );
  holder.peers.start();
  const { channel, primes } = await talk(all, holder, "owner", 1200);
  assert.ok(primes.length > 2 * limits.replicateUnansweredCount);
  for (const batch of batchesOf(primes)) await channel.send(batch);
  await settled();
  assert.equal(takenCount, limits.replicateUnansweredCount);
});

test("wherever a run is cut, and in whatever order its batches become durable, what the owner was told is kept is kept", async () => {
  const outcomes = fc.array(fc.tuple(fc.nat({ max: 8 }), fc.integer({ min: 0, max: 9 })), { maxLength: 30 });
  const property = fc.asyncProperty(fc.integer({ min: 1, max: 12 }), outcomes, async (sentCount, steps) => {
    const all = new ReplicatingFederation();
    const { holder, gates } = await gatedHolder(all);
    const { owner, channel, answers, slice, slices, primes } = await talk(all, holder);
    for (const batch of batchesOf(primes.slice(0, sentCount))) void channel.send(batch).catch(() => undefined);
    await settled();
    for (const [at, outcome] of steps) {
      const [gate] = gates.splice(at % Math.max(1, gates.length), 1);
      if (outcome === 0) gate?.fail(new CostorError("store-full", "the disk is full"));
      else gate?.open();
      await settled();
      if (outcome === 1) channel.abort();
    }
    channel.abort();
    const toldCount = answers.filter(({ kind }) => kind === "kept").length;
    const kept = new Set(await keptIds(holder, owner));
    for (const { id } of primes.slice(0, toldCount)) assert.ok(kept.has(id), "what was told is kept");
    // Nothing is held for the run that broke: another one has all of the room, once what was under way has settled.
    holder.offeredBytes = slice.bytes;
    const openAll = (): void => gates.splice(0).forEach((gate) => gate.open());
    for (let turn = 0; turn < 15; turn++) {
      openAll();
      await settled();
    }
    const opening = setInterval(openAll, 0);
    try {
      const reports = await owner.replicate(
        holder,
        slices.filter((one) => one === slice),
      );
      assert.deepEqual(
        reports.map(({ end }) => end),
        ["received"],
      );
    } finally {
      clearInterval(opening);
    }
    assert.deepEqual(await keptIds(holder, owner), slice.ids);
  });
  await fc.assert(property, { numRuns: count(20, 500) });
});

test.run();
