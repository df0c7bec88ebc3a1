/** The agent's API over real TLS: the way of a backup and back, and that tokens open only what is theirs. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import * as v from "valibot";
import { type StoredPrime, batchEntry, parseBatch } from "#protocol/batch.ts";
import * as contract from "#protocol/http.ts";
import { type PrimeId, makeUuidV7, primeIdToBytes } from "#protocol/ids.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import { suite } from "#test/support/suite.ts";
import { type TestSite, startTestSite } from "#test/support/test-site.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("agent API");
let site: TestSite;
/** What the federation says of every snapshot. */
let copies: contract.SnapshotSummary["copies"];

test.before(async () => {
  site = await startTestSite({ copiesOf: () => copies });
});
test.after(() => site[Symbol.asyncDispose]());

const batchOf = (primes: readonly StoredPrime[]): Buffer => Buffer.concat(primes.flatMap(batchEntry));
const idsOf = (ids: readonly PrimeId[]): Buffer => Buffer.concat(ids.map(primeIdToBytes));
const newSnapshot = (): string => makeUuidV7(Date.now());

function commitOf(snapshotId: string, maker: TreeMaker): contract.CommitRequest {
  const root = nodePointerToWire(maker.node([maker.file("a"), maker.directory("d", maker.inline([maker.file("b")]))]));
  return {
    snapshotId,
    job: "home",
    roots: [Buffer.from("/home").toString("base64")],
    startedMs: 5,
    objectsCount: 3,
    filesCount: 2,
    bytes: 200,
    unreadableCount: 0,
    root,
  };
}

async function backUp(
  token: string,
): Promise<{ maker: TreeMaker; commit: contract.CommitRequest; sessionId: string; receivedMs: number }> {
  const maker = new TreeMaker();
  const commit = commitOf(newSnapshot(), maker);
  const opened = await site.ask({
    path: contract.paths.sessions,
    token,
    json: { job: "home", snapshotId: commit.snapshotId },
  });
  const { sessionId } = v.parse(contract.openSessionResponse, opened.json());
  await site.ask({ path: contract.paths.primes(sessionId), token, octets: batchOf(maker.primes) });
  const committed = await site.ask({ path: contract.paths.commit(sessionId), token, json: commit });
  return { maker, commit, sessionId, receivedMs: v.parse(contract.commitResponse, committed.json()).receivedMs };
}

test("a machine enrols, sends, commits, lists and reads back", async () => {
  const enrolled = v.parse(contract.enrolResponse, await site.enrol("office"));
  const { token } = enrolled;
  assert.equal(enrolled.siteId, site.site.identity.siteId);
  v.parse(contract.checkInResponse, (await site.ask({ path: contract.paths.checkIn, token })).json());

  const maker = new TreeMaker();
  const commit = commitOf(newSnapshot(), maker);
  const open = {
    path: contract.paths.sessions,
    token,
    json: { job: "home", snapshotId: commit.snapshotId, expectedBytes: 200 },
  };
  const { sessionId } = (await site.ask(open)).json<contract.OpenSessionResponse>();
  assert.equal((await site.ask(open)).json<contract.OpenSessionResponse>().sessionId, sessionId);

  const ids = maker.primes.map((prime) => prime.id);
  const missing = async () => [
    ...(await site.ask({ path: contract.paths.missing(sessionId), token, octets: idsOf(ids) })).body,
  ];
  assert.deepEqual(
    await missing(),
    ids.map(() => 1),
  );
  const early = await site.ask({ path: contract.paths.commit(sessionId), token, json: commit });
  assert.equal(early.problem().code, "commit-incomplete");
  for (const prime of maker.primes.toReversed()) {
    const sent = await site.ask({ path: contract.paths.primes(sessionId), token, octets: batchOf([prime]) });
    assert.deepEqual(sent.json(), { storedCount: 1 });
  }
  assert.deepEqual(
    await missing(),
    ids.map(() => 0),
  );
  const answers = await Promise.all(
    [1, 2, 3].map(() => site.ask({ path: contract.paths.commit(sessionId), token, json: commit })),
  );
  const [first] = answers.map((answer) => v.parse(contract.commitResponse, answer.json()));
  for (const answer of answers) assert.deepEqual(answer.json(), first);

  const listed = v.parse(
    contract.snapshotsResponse,
    (await site.ask({ path: contract.paths.snapshots, token })).json(),
  );
  assert.deepEqual(
    listed.snapshots.map((snapshot) => snapshot.id),
    [commit.snapshotId],
  );
  const shown = v.parse(
    contract.snapshotResponse,
    (await site.ask({ path: contract.paths.snapshot(commit.snapshotId), token })).json(),
  );
  assert.deepEqual(shown.root, commit.root);

  const asked = [...ids.toReversed(), ids[0]!];
  const read = await site.ask({ path: contract.paths.readPrimes, token, octets: idsOf(asked) });
  const primes = [...parseBatch(read.body)];
  assert.deepEqual(
    primes.map((prime) => prime.id),
    asked,
  );
  for (const { id, stored } of primes) assert.deepEqual(stored, maker.primes.find((prime) => prime.id === id)!.stored);
});

test("many primes at once come back in order, and an empty question gets an empty answer", async () => {
  const { token } = await site.enrol();
  const maker = new TreeMaker();
  for (let i = 0; i < 60; i++) maker.seal(randomBytes(i * 3000), "content");
  const { sessionId } = (
    await site.ask({ path: contract.paths.sessions, token, json: { job: "j", snapshotId: newSnapshot() } })
  ).json<contract.OpenSessionResponse>();
  await site.ask({ path: contract.paths.primes(sessionId), token, octets: batchOf(maker.primes) });
  const read = await site.ask({
    path: contract.paths.readPrimes,
    token,
    octets: idsOf(maker.primes.map((prime) => prime.id)),
  });
  assert.deepEqual(read.body, batchOf(maker.primes));
  for (const path of [contract.paths.readPrimes, contract.paths.missing(sessionId)]) {
    const empty = await site.ask({ path, token, octets: Buffer.alloc(0) });
    assert.equal(empty.status, 200);
    assert.equal(empty.body.length, 0);
  }
});

test("a batch with one wrong id keeps nothing", async () => {
  const { token } = await site.enrol();
  const maker = new TreeMaker();
  const { id } = maker.seal(randomBytes(10), "content");
  const { sessionId } = (
    await site.ask({ path: contract.paths.sessions, token, json: { job: "j", snapshotId: newSnapshot() } })
  ).json<contract.OpenSessionResponse>();
  const octets = batchOf([...maker.primes, { id: "00".repeat(32) as PrimeId, stored: randomBytes(40) }]);
  assert.equal(
    (await site.ask({ path: contract.paths.primes(sessionId), token, octets })).problem().code,
    "prime-mismatch",
  );
  assert.deepEqual(
    [...(await site.ask({ path: contract.paths.missing(sessionId), token, octets: idsOf([id]) })).body],
    [1],
  );
});

/** Every route that an agent has, asked about `theirs`. */
const routesOn = (theirs: Awaited<ReturnType<typeof backUp>>) => [
  { path: contract.paths.checkIn, foreign: "allowed" as const },
  { path: contract.paths.snapshots, foreign: "allowed" as const },
  { path: contract.paths.sessions, json: { job: "j", snapshotId: newSnapshot() }, foreign: "allowed" as const },
  { path: contract.paths.snapshot(theirs.commit.snapshotId), foreign: "snapshot-unknown" as const },
  {
    path: contract.paths.missing(theirs.sessionId),
    octets: idsOf([theirs.maker.primes[0]!.id]),
    foreign: "session-unknown" as const,
  },
  {
    path: contract.paths.primes(theirs.sessionId),
    octets: batchOf(theirs.maker.primes),
    foreign: "session-unknown" as const,
  },
  { path: contract.paths.commit(theirs.sessionId), json: theirs.commit, foreign: "session-unknown" as const },
  { path: contract.paths.readPrimes, octets: idsOf([theirs.maker.primes[0]!.id]), foreign: "prime-missing" as const },
];

test("no token but an agent's own reaches its data: every route against every kind of token", async () => {
  const owner = await site.enrol("owner");
  const theirs = await backUp(owner.token);
  const stranger = await site.enrol("stranger");
  const revoked = await site.enrol("revoked");
  await site.site.agents.revoke(revoked.agentId as never, Date.now());
  const before = (await site.ask({ path: contract.paths.snapshots, token: owner.token })).body;
  const tampered = owner.token.slice(0, -1) + (owner.token.endsWith("A") ? "B" : "A");
  for (const { foreign, ...route } of routesOn(theirs)) {
    for (const token of [undefined, revoked.token, tampered, randomBytes(40).toString("base64url")]) {
      const answer = await site.ask({ ...route, ...(token ? { token } : {}) });
      assert.ok(["unauthorised", "too-many-requests"].includes(answer.problem().code), route.path);
    }
    const answer = await site.ask({ ...route, token: stranger.token });
    if (foreign === "allowed") assert.equal(answer.status, 200);
    else assert.equal(answer.problem().code, foreign, route.path);
    for (const method of ["PUT", "DELETE", "PATCH"]) {
      const refused = await site.ask({ ...route, method, token: owner.token });
      assert.equal(refused.problem().code, "not-found", `${method} ${route.path}`);
    }
  }
  assert.deepEqual((await site.ask({ path: contract.paths.snapshots, token: owner.token })).body, before);
  // The answer about another's snapshot is the answer about one that never was.
  const never = makeUuidV7(1);
  const [foreign, unknown] = await Promise.all(
    [theirs.commit.snapshotId, never].map((id) =>
      site.ask({ path: contract.paths.snapshot(id), token: stranger.token }),
    ),
  );
  assert.equal(
    foreign!.body.toString().replaceAll(theirs.commit.snapshotId, "X"),
    unknown!.body.toString().replaceAll(never, "X"),
  );
});

test("what another agent has stored is missing for me, and sending it makes it mine", async () => {
  const owner = await site.enrol();
  const theirs = await backUp(owner.token);
  const { token } = await site.enrol();
  const mine = { ...theirs.commit, snapshotId: newSnapshot() };
  const { sessionId } = (
    await site.ask({ path: contract.paths.sessions, token, json: { job: "j", snapshotId: mine.snapshotId } })
  ).json<contract.OpenSessionResponse>();
  const ids = theirs.maker.primes.map((prime) => prime.id);
  assert.deepEqual(
    [...(await site.ask({ path: contract.paths.missing(sessionId), token, octets: idsOf(ids) })).body],
    ids.map(() => 1),
  );
  assert.equal(
    (await site.ask({ path: contract.paths.commit(sessionId), token, json: mine })).problem().code,
    "commit-incomplete",
  );
  await site.ask({ path: contract.paths.primes(sessionId), token, octets: batchOf(theirs.maker.primes) });
  assert.equal((await site.ask({ path: contract.paths.commit(sessionId), token, json: mine })).status, 200);
});

test("an enrolment secret works once, and wrong ones are slowed down", async () => {
  const own = await startTestSite();
  try {
    const { agentId } = await own.enrol();
    assert.match(agentId, /^[0-9a-f-]{36}$/);
    const codes = new Set<string>();
    for (let i = 0; i < 25; i++) {
      const answer = await own.ask({
        path: contract.paths.enrol,
        json: { secret: randomBytes(16).toString("base64url"), hostName: "x" },
      });
      const { code } = answer.problem();
      codes.add(code);
      if (code === "too-many-requests") assert.ok(Number(answer.headers["retry-after"]) > 0);
    }
    assert.deepEqual([...codes], ["enrolment-refused", "too-many-requests"]);
    await own.enrol("still welcome");
  } finally {
    await own[Symbol.asyncDispose]();
  }
});

test("the certificate is the site's own, for its server name and address, and no other name passes", async () => {
  const { identity } = site.site;
  const port = site.facade.address.port;
  const ca = (await import("#node/site/pem.ts")).certificatePem(identity.caCertificate);
  const handshake = (servername: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect({ host: "127.0.0.1", port, ca, servername }, () => resolve("trusted"));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
      socket.once("secureConnect", () => socket.destroy());
    });
  assert.equal(await handshake(serverNameOf(identity.siteId)), "trusted");
  assert.equal(await handshake("localhost"), "trusted");
  assert.equal(await handshake("evil.example"), "ERR_TLS_CERT_ALTNAME_INVALID");
});

test("health, metrics and the description of the API are at hand, and say nothing of files", async () => {
  assert.deepEqual((await site.ask({ path: "/health" })).json(), { status: "ok" });
  assert.equal((await site.ask({ path: "/ready" })).status, 200);
  const metrics = (await site.ask({ path: "/metrics" })).body.toString();
  assert.match(metrics, /^costor_agents \d+$/m);
  const documented = [
    ...readFileSync(join(import.meta.dirname, "../../../docs/metrics.md"), "utf8").matchAll(/^\| `(\w+)`/gm),
  ];
  const exported = [...metrics.matchAll(/^# TYPE (\w+)/gm)];
  assert.deepEqual(
    exported.map(([, name]) => name),
    documented.map(([, name]) => name),
    "docs/metrics.md is true",
  );
  const description = (await site.ask({ path: "/v1/openapi.json" })).json<{
    openapi: string;
    paths: Record<string, unknown>;
    components: { schemas: Record<string, { properties?: object }> };
  }>();
  assert.equal(description.openapi, "3.1.0");
  for (const path of Object.values(contract.paths))
    assert.ok((typeof path === "string" ? path : path("{id}")) in description.paths);
  assert.ok("root" in description.components.schemas["CommitRequest"]!.properties!);
});

test("no log line holds a token, a secret or a path", async () => {
  const { token } = await site.enrol();
  await backUp(token);
  await site.ask({ path: contract.paths.checkIn, token: `${token}x` });
  const log = site.log.join("");
  assert.equal(log.includes(token.slice(33)), false);
  assert.equal(log.includes("/home"), false);
  assert.equal(log.includes("authorization"), false);
});

test("a snapshot tells its copies elsewhere, where there is a federation", async () => {
  const { token } = await site.enrol();
  const { commit } = await backUp(token);
  const read = async (): Promise<unknown[]> => [
    v.parse(contract.snapshotsResponse, (await site.ask({ path: contract.paths.snapshots, token })).json()).snapshots[0]
      ?.copies,
    v.parse(
      contract.snapshotResponse,
      (await site.ask({ path: contract.paths.snapshot(commit.snapshotId), token })).json(),
    ).copies,
  ];
  assert.deepEqual(await read(), [undefined, undefined]);
  copies = { count: 2, isSafe: true };
  assert.deepEqual(await read(), [copies, copies]);
  copies = undefined;
});

test.run();
