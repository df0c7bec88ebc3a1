/**
 * Goal: a tamper drill passes exactly when everything forbidden was refused and nothing is changed, and leaves nothing behind. Method: a real
 * facade over TLS with doors that let something in; whole sites in memory, with a holder that obeys, lies, has lost something or is silent.
 */
import assert from "node:assert/strict";
import { ForbiddenCalls } from "#node/drills/forbidden-calls.ts";
import { type AgentDoor, type DoorCall, openAgentDoor } from "#node/drills/agent-door.ts";
import { HolderTampering } from "#node/drills/holder-tampering.ts";
import { tamperDrill } from "#node/drills/tamper-drill.ts";
import { Auditor } from "#node/replication/auditor.ts";
import { decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { replicateAnswer } from "#node/replication/replicate-messages.ts";
import type { Channel, Peers } from "#ledger/peers.ts";
import { batchEntry } from "#protocol/batch.ts";
import type { CborMap } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type OpenSessionResponse, paths } from "#protocol/http.ts";
import { makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import type { FederationSite } from "#test/node/federation/federation-site.ts";
import { FederationWorld, HOUR_MS } from "#test/node/federation/federation-world.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";
import { startTestSite } from "#test/support/test-site.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("tamper drills", { timeoutMs: 120_000 });
const MINUTE_MS = 60_000;
const { signal } = new AbortController();

/** A site with one agent's snapshot. */
async function backedUpSite() {
  const served = await startTestSite();
  const { site } = served;
  const { token, agentId } = await served.enrol();
  const maker = new TreeMaker();
  const root = nodePointerToWire(maker.node([maker.file("a", noise("a", 70_000))]));
  const snapshotId = makeUuidV7(1);
  const opened = await served.ask({ path: paths.sessions, token, json: { job: "home", snapshotId } });
  const { sessionId } = opened.json<OpenSessionResponse>();
  await served.ask({
    path: paths.primes(sessionId),
    token,
    octets: Buffer.concat(maker.primes.flatMap((prime) => batchEntry(prime))),
  });
  const facts = { startedMs: 1, objectsCount: 1, filesCount: 1, bytes: 70_000, unreadableCount: 0 };
  const commit = { snapshotId, job: "home", roots: ["Lw=="], ...facts, root };
  assert.equal((await served.ask({ path: paths.commit(sessionId), token, json: commit })).status, 200);
  const target = {
    ...{ agent: parseAgentId(agentId), snapshot: parseSnapshotId(snapshotId), root },
    prime: maker.primes[0]!.id,
  };
  const door = openAgentDoor(site.identity, { host: "0.0.0.0", port: served.facade.address.port });
  return { served, site, target, door };
}

test("as an agent everything forbidden is refused with its own code, and the agent leaves nothing behind", async () => {
  const { served, site, target, door } = await backedUpSite();
  await using _ = served;
  const result = await tamperDrill({ site, door, holders: undefined }, target, signal);
  assert.deepEqual([result.filesCount, result.failedCount, result.failures], [7, 0, []]);
  assert.deepEqual(
    result.refusals.map(({ code }) => code),
    [
      ...["not-found", "not-found", "snapshot-unknown", "prime-missing", "prime-mismatch", "commit-incomplete"],
      "unauthorised",
    ],
  );
  assert.deepEqual(
    site.agents.list().map(({ id }) => id),
    [target.agent],
  );
  assert.equal(site.sessions.openCount, 0);
  const kinds: string[] = [];
  for (const kind of ["agent", "sessions", "snapshot"])
    for await (const { key } of served.store.facts(kind)) kinds.push(`${kind} ${key.slice(0, 36)}`);
  assert.deepEqual(kinds, [`agent ${target.agent}`, `sessions ${target.agent}`, `snapshot ${target.agent}`]);
});

test("a door that lets one of these calls in, or answers it otherwise than is due, fails the drill by its name", async () => {
  const { served, site, target, door } = await backedUpSite();
  await using _ = served;
  const letsIn = (which: (call: DoorCall) => boolean, code: string | undefined): AgentDoor => ({
    call: async (call) => (which(call) ? { code, json: {} } : door.call(call)),
  });
  const failed = async (which: (call: DoorCall) => boolean, code?: string) => {
    const { failures } = await tamperDrill({ site, door: letsIn(which, code), holders: undefined }, target, signal);
    return failures.map(({ what, message }) => `${what}: ${message}`);
  };
  assert.deepEqual(await failed(({ method }) => method === "DELETE"), [
    "delete another machine's snapshot: it was NOT refused",
  ]);
  assert.deepEqual(await failed(({ path }) => path.endsWith("/commit")), [
    "claim another machine's files: it was NOT refused",
  ]);
  assert.match((await failed(({ path }) => path.endsWith("/primes"), "internal"))[0]!, /answered with internal where/);
});

test("what is gone afterwards fails the drill though everything was refused", async () => {
  const { served, site, target, door } = await backedUpSite();
  await using _ = served;
  const deletes: AgentDoor = {
    call: async (call) => {
      const answer = await door.call(call);
      const key = `${target.agent}/${target.snapshot}`;
      if (call.method === "DELETE") await served.store.appendFacts([{ kind: "snapshot", key, value: undefined }]);
      return answer;
    },
  };
  const { failures } = await tamperDrill({ site, door: deletes, holders: undefined }, target, signal);
  assert.deepEqual(
    failures.map(({ what, message }) => [what, message.split(":")[0]]),
    [["what was there before", "snapshot-unknown"]],
  );
});

test("a throwaway agent's token counts until it is disposed of, and no agent is listed meanwhile", async () => {
  const { served, site } = await backedUpSite();
  await using _ = served;
  const before = site.agents.list();
  const visitor = site.agents.visit(1);
  assert.equal(site.agents.authenticate(visitor.token)?.id, visitor.agent);
  assert.deepEqual([site.agents.list(), site.agents.activeCount], [before, 1]);
  visitor[Symbol.dispose]();
  assert.equal(site.agents.authenticate(visitor.token), undefined);
});

async function heldElsewhere() {
  const world = await FederationWorld.of(3);
  const [owner, ...holders] = world.sites as [FederationSite, FederationSite, FederationSite];
  const ids = await owner.backUp("first", 40);
  await world.run(6 * HOUR_MS);
  const { transport, membership: sites, ledger, entries, own } = owner.federation.parts;
  const { clock } = world.time;
  const tamper = async (peers: Pick<Peers, "open" | "connected"> = transport) => {
    const parts = { self: owner.identity.siteId, clock, rng: new SeededRng("tamper"), peers, sites, ledger, entries };
    const auditor = new Auditor({ ...parts, peers: transport, store: owner.store });
    const calls = new ForbiddenCalls();
    const work = new HolderTampering({ ...parts, own, auditor }).tamper(calls, signal);
    work.catch(() => undefined);
    await world.run(10 * MINUTE_MS);
    await work;
    return calls;
  };
  return { world, owner, holders, ids, tamper, transport };
}

test("a holder refuses to leave out what is live, notes nothing, gets no doubt about the owner, and proves to have it", async () => {
  const { world, owner, holders, tamper, ids } = await heldElsewhere();
  const { refusals, failures } = await tamper();
  assert.deepEqual(failures, []);
  assert.deepEqual(
    refusals.map(({ code }) => code),
    ["differs", "signature-invalid"],
  );
  await world.run(24 * HOUR_MS);
  for (const site of [owner, ...holders])
    assert.equal(site.federation.parts.ledger.forkOf(owner.identity.siteId), undefined);
  for (const holder of holders) {
    const has = await holder.store.hasKept(owner.identity.siteId, ids);
    assert.ok(has.every(Boolean));
    assert.deepEqual(await Array.fromAsync(holder.store.facts("omitted")), []);
  }
});

/** Holders' answers, changed. */
const changing = (
  transport: Pick<Peers, "open" | "connected">,
  change: (answer: CborMap) => CborMap,
): Pick<Peers, "open" | "connected"> => ({
  connected: () => transport.connected(),
  open: async (...args) => {
    const channel = await transport.open(...args);
    const receive = async (): Promise<Uint8Array | undefined> => {
      const frame = await channel.receive();
      if (frame === undefined) return undefined;
      const answer = decodeMessage(frame, replicateAnswer);
      return encodeMessage(change(answer.kind === "omitted" ? { ...answer, ids: Buffer.alloc(0) } : { ...answer }));
    };
    return new Proxy(channel, {
      get: (target, name: keyof Channel) => {
        const value = name === "receive" ? receive : target[name];
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  },
});

test("a holder that obeys an unsigned list, or has noted what is live as left out, fails the drill", async () => {
  const { tamper, transport, ids } = await heldElsewhere();
  const obeys = await tamper(
    changing(transport, (answer) => (answer["kind"] === "refused" ? { kind: "received" } : answer)),
  );
  assert.match(obeys.failures[0]!.what, /has not signed, at site/);
  assert.match(obeys.failures[0]!.message, /NOT refused/);
  const noted = Buffer.from(ids.join(""), "hex");
  const notes = await tamper(
    changing(transport, (answer) => (answer["kind"] === "omitted" ? { kind: "omitted", ids: noted } : answer)),
  );
  assert.match(notes.failures[0]!.message, /^\d+ primes of it are noted as left out/);
});

test("a holder whose refusal is lost with the channel has refused all the same", async () => {
  const { tamper, transport } = await heldElsewhere();
  const breaking = changing(transport, (answer) => {
    if (answer["kind"] === "refused") throw new CostorError("peer-unreachable", "the channel broke");
    return answer;
  });
  const { refusals, failures } = await tamper(breaking);
  assert.deepEqual([refusals.map(({ code }) => code), failures], [["differs", "peer-unreachable"], []]);
});

test("a holder that cannot prove it any more fails the drill", async () => {
  const { tamper, holders, ids } = await heldElsewhere();
  for (const holder of holders) for (const id of ids) holder.store.lose(id);
  const { failures } = await tamper();
  assert.match(failures[0]!.message, /primes are not proven/);
});

test("where no holder is there or answers nothing is proven, and one that is silent makes room for the next", async () => {
  const { tamper, transport, world, holders } = await heldElsewhere();
  let silent: string | undefined;
  const oneSilent: Pick<Peers, "open" | "connected"> = {
    connected: () => transport.connected(),
    open: async (peer, protocol, aborted) => {
      silent ??= peer;
      if (peer !== silent) return transport.open(peer, protocol, aborted);
      return new Promise<never>((_, reject) => aborted?.addEventListener("abort", () => reject(aborted.reason)));
    },
  };
  assert.deepEqual((await tamper(oneSilent)).failures, []);
  for (const holder of holders) world.crash(holder);
  await world.run(HOUR_MS);
  await assert.rejects(tamper(), { code: "peer-unreachable" });
});

test("what is asked of a holder is never more than an audit takes", async () => {
  const world = await FederationWorld.of(2);
  const [owner] = world.sites as [FederationSite];
  for (const part of [0, 1]) await owner.backUp(`much ${part}`, 8 * (limits.auditPrimesCount + 40));
  await world.run(6 * HOUR_MS);
  assert.ok((await owner.federation.parts.own.slice(0)).ids.length > limits.auditPrimesCount);
  const { transport: peers, membership: sites, ledger, entries, own } = owner.federation.parts;
  const parts = { self: owner.identity.siteId, clock: world.time.clock, rng: new SeededRng("much"), peers, sites };
  const auditor = new Auditor({ ...parts, ledger, entries, store: owner.store });
  const calls = new ForbiddenCalls();
  const work = new HolderTampering({ ...parts, ledger, own, auditor }).tamper(calls, signal);
  await world.run(10 * MINUTE_MS);
  await work;
  assert.deepEqual(calls.failures, []);
});

test.run();
