/**
 * Goal: a remote restore opens what the owner has told the ledger, is told to the ledger before and after, ends with its ticket, and leaves neither
 * right nor key behind. Method: whole sites in memory; what an owner seals is sealed as it does it.
 */
import assert from "node:assert/strict";
import { sealedContext } from "#node/federation/sealed-statements.ts";
import { RemoteRestores } from "#node/rescue/remote-restores.ts";
import type { RemoteRestoreEvent } from "#node/rescue/remote-restore.ts";
import { makeRootSealer } from "#node/site/root-sealer.ts";
import { SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import { type AgentId, type SessionId, type SnapshotId, makeUuidV7 } from "#protocol/ids.ts";
import { deriveReadKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { sealToReadKey } from "#protocol/read-sealing.ts";
import type { ReplicatingSite } from "#test/node/replication/replicating-site.ts";
import { neverLate } from "#test/node/replication/test-clock.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";
import { ownerAndHelper, ticketFor } from "./owner-and-helper.ts";

const test = suite("remote restore sessions");
const root = Buffer.alloc(32, 7);
const readKey = (generation = 1) => deriveReadKey(root, generation);

/** The owner's one agent, and one snapshot of it, in the ledger of all. */
async function toldOwner(expiry?: CborMap) {
  const sites = await ownerAndHelper();
  const { all, owner } = sites;
  const { siteId } = owner;
  const agent = makeUuidV7(1_700_000_000_000) as AgentId;
  const snapshot = makeUuidV7(1_700_000_001_000) as SnapshotId;
  const sealer = makeRootSealer({ siteId }, { readPrivateKey: readKey().privateKey });
  const commit = {
    ...{ snapshotId: snapshot, job: "home", roots: [Buffer.from("/home").toString("base64")], startedMs: 5 },
    ...{ objectsCount: 1, filesCount: 1, bytes: 1, unreadableCount: 0 },
    root: { inline: Buffer.from("a tree").toString("base64") },
  };
  const completed = { receivedMs: 6, session: makeUuidV7(1) as SessionId, commitHash: Buffer.alloc(32) };
  const fact = await new SnapshotRegistry({ store: owner.store, sealer }).factOf(agent, commit, completed);
  const seal = (value: Uint8Array, place: Parameters<typeof sealedContext>[1]) =>
    sealToReadKey(value, readKey().publicKey, sealedContext(siteId, place));
  const record = encodeCbor({ name: "office", hostName: "pc", enrolledMs: 1, tokenHash: Buffer.alloc(32) });
  await owner.say({ kind: "agent", agent, sealed: await seal(record, { kind: "agent", agent }) });
  const place = { kind: "snapshot", agent, snapshot } as const;
  const fields = { ...(decodeCbor(fact.value!) as CborMap), ...(expiry && { expiry }) };
  await owner.say({ ...place, sealed: await seal(encodeCbor(fields), place) });
  await all.spread();
  return { ...sites, agent, snapshot };
}

function restoresAt(helper: ReplicatingSite) {
  const events: RemoteRestoreEvent[] = [];
  const { siteId: self, peers, ledger, store, entries, view: sites } = helper;
  const clock = { ...neverLate, now: () => helper.clock.now() };
  const parts = {
    self,
    clock,
    peers,
    sites,
    ledger,
    store,
    entries,
    rng: new SeededRng("names"),
    copiedUntilMs: () => 0,
  };
  return { events, restores: new RemoteRestores({ ...parts, onEvent: (event) => void events.push(event) }) };
}

const helpedBy = ({ ledger, siteId }: ReplicatingSite) =>
  ledger.statements(siteId, "helped").map(({ statement }) => statement);
const isRefused = (promise: Promise<unknown>, code: ErrorCode) =>
  assert.rejects(promise, (error) => isCostorError(error, code));

test("agents and snapshots are opened, primes gathered, and the ledger is told before and after", async () => {
  const { owner, helper, ids, agent, snapshot } = await toldOwner();
  const { restores, events } = restoresAt(helper);
  const key = Buffer.from(readKey().privateKey);
  const { restore, name } = await restores.open({ ticket: ticketFor(owner, helper), readKeys: [key] });
  assert.equal(helpedBy(helper).length, 1);
  assert.equal(helpedBy(helper)[0]!.primesCount, 0);
  assert.equal(restores.of(name), restore);
  assert.deepEqual(
    (await restore.agents()).map(({ id, name: called, snapshotsCount }) => [id, called, snapshotsCount]),
    [[agent, "office", 1]],
  );
  assert.deepEqual(
    (await restore.snapshots(agent)).map(({ id }) => id),
    [snapshot],
  );
  assert.deepEqual((await restore.snapshot(agent, snapshot)).root, {
    inline: Buffer.from("a tree").toString("base64"),
  });
  assert.equal((await Array.fromAsync(restore.readPrimes(ids))).length, ids.length);
  await restore[Symbol.asyncDispose]();
  const [helped, ...others] = helpedBy(helper);
  assert.deepEqual(others, []);
  assert.deepEqual(
    [helped!.owner, helped!.primesCount, helped!.bytes, helped!.readGeneration],
    [owner.siteId, ids.length, ids.length * 100, 1],
  );
  assert.ok(
    key.every((byte) => byte === 0),
    "the read key is overwritten",
  );
  assert.throws(
    () => restores.of(name),
    (error) => isCostorError(error, "not-found"),
  );
  assert.deepEqual(
    events.map(({ event }) => event),
    ["helping", "helped"],
  );
});

test("when it has ended its ticket is good for nothing at the holders that it was shown to", async () => {
  const { owner, helper, ids } = await toldOwner();
  const ticket = ticketFor(owner, helper);
  const first = restoresAt(helper).restores;
  const { restore } = await first.open({ ticket, readKeys: [Buffer.from(readKey().privateKey)] });
  await Array.fromAsync(restore.readPrimes(ids));
  await restore[Symbol.asyncDispose]();
  const again = await restoresAt(helper).restores.open({ ticket, readKeys: [Buffer.from(readKey().privateKey)] });
  await isRefused(Array.fromAsync(again.restore.readPrimes(ids.slice(0, 1))), "prime-missing");
  assert.ok(again.restore.failures().every(({ code }) => code === "peer-refused"));
});

test("a ticket for another site, an expired one, and one of another key open nothing and are told nowhere", async () => {
  const { owner, one, helper } = await toldOwner();
  const { restores, events } = restoresAt(helper);
  const readKeys = [Buffer.from(readKey().privateKey)];
  await isRefused(restores.open({ ticket: ticketFor(owner, one), readKeys }), "peer-refused");
  const expired = ticketFor(owner, helper, { expiresMs: helper.clock.now() });
  await isRefused(restores.open({ ticket: expired, readKeys }), "peer-refused");
  const forged = ticketFor(one, helper, { siteId: owner.siteId });
  await isRefused(restores.open({ ticket: forged, readKeys }), "signature-invalid");
  assert.deepEqual([helpedBy(helper), events], [[], []]);
  assert.ok(readKeys.flat().every((key) => key.every((byte) => byte === 0)));
});

test("read keys that open nothing are told, and so that it was tried", async () => {
  const { owner, helper } = await toldOwner();
  const { restores } = restoresAt(helper);
  const readKeys = [Buffer.from(readKey(2).privateKey)];
  await isRefused(restores.open({ ticket: ticketFor(owner, helper), readKeys }), "nothing-of-site");
  assert.equal(helpedBy(helper).length, 1);
  assert.ok(readKeys[0]!.every((byte) => byte === 0));
});

test("a snapshot that somebody has let expire is there until it has gone", async () => {
  const { owner, helper, agent, snapshot } = await toldOwner({ cause: "person", sinceMs: 1, dueHeldMs: 2 });
  const { restores } = restoresAt(helper);
  const readKeys = [Buffer.from(readKey().privateKey)];
  const { restore } = await restores.open({ ticket: ticketFor(owner, helper), readKeys });
  assert.deepEqual(
    (await restore.snapshots(agent)).map(({ id }) => id),
    [snapshot],
  );
  assert.ok((await restore.snapshot(agent, snapshot)).root);
});

test("it ends when its opener goes, when the site stops, and what is read then fails", async () => {
  const { owner, helper, ids } = await toldOwner();
  const { restores } = restoresAt(helper);
  const open = () => restores.open({ ticket: ticketFor(owner, helper), readKeys: [Buffer.from(readKey().privateKey)] });
  const { name, restore: left } = await open();
  const opener = new AbortController();
  const ended = restores.untilEnd(left, opener.signal);
  opener.abort();
  await ended;
  await isRefused(Array.fromAsync(left.readPrimes(ids)), "not-found");
  assert.throws(() => restores.of(name), /--overwrite if-changed/, "how to go on");
  const { restore: running } = await open();
  await restores[Symbol.asyncDispose]();
  assert.ok(running.signal.aborted);
});

test("a ledger that takes no entry now keeps nobody from the files, and no more go on at once than the limit says", async () => {
  const { owner, helper, ids } = await toldOwner();
  const { restores, events } = restoresAt(helper);
  helper.hasWriteFailure = true;
  const open = () => restores.open({ ticket: ticketFor(owner, helper), readKeys: [Buffer.from(readKey().privateKey)] });
  const { restore } = await open();
  assert.equal((await Array.fromAsync(restore.readPrimes(ids))).length, ids.length);
  assert.ok(events.some(({ event }) => event === "put-off"));
  for (let count = 1; count < limits.remoteRestoresCount; count++) await open();
  await isRefused(open(), "too-many-requests");
});

test("what is known of a site is found, and of an unknown one nothing", async () => {
  const { owner, one, helper } = await toldOwner();
  const { restores } = restoresAt(helper);
  assert.equal((await restores.find(owner.siteId)).helper, helper.peerKey);
  assert.equal((await restores.find(owner.siteId)).readKey, undefined);
  await owner.sayProfile();
  await owner.federation.spread();
  const found = await restores.find(owner.siteId);
  assert.equal(found.readKey?.generation, 1);
  assert.equal(found.requestedKeys, undefined);
  await owner.say({ kind: "state", part: "keys/requested", sealed: Buffer.from("sealed") });
  await owner.federation.spread();
  assert.deepEqual((await restores.find(owner.siteId)).requestedKeys, Buffer.from("sealed"));
  await isRefused(restores.find(one.siteId), "member-unknown");
});

test.run();
