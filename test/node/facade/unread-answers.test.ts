/** Answers that nobody reads: an agent has room for so many, its others wait, and other agents are served. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { certificatePem } from "#node/site/pem.ts";
import { batchEntry } from "#protocol/batch.ts";
import { type OpenSessionResponse, paths } from "#protocol/http.ts";
import { makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import { type TestSite, startTestSite } from "#test/support/test-site.ts";

const test = suite("unread answers");
const store = createMemoryStore();
const stored = randomBytes(limits.primeStoredBytes);
const idsOf = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => Buffer.from(primeIdOf(stored), "hex")));
/** Of one agent: half of all. */
const answersCount = limits.answersInMemoryBytes / 2 / (4 * limits.primeStoredBytes);
let site: TestSite;

test.before(async () => {
  site = await startTestSite({ store });
});
test.after(() => site[Symbol.asyncDispose]());

async function enrolWithPrime(name: string): Promise<string> {
  const { token } = await site.enrol(name);
  const json = { job: "j", snapshotId: makeUuidV7(Date.now()) };
  const { sessionId } = (await site.ask({ path: paths.sessions, token, json })).json<OpenSessionResponse>();
  const octets = Buffer.concat(batchEntry({ id: primeIdOf(stored), stored }));
  assert.equal((await site.ask({ path: paths.primes(sessionId), token, octets })).status, 200);
  return token;
}

/** The head of an answer to a read, whose body nobody reads. */
function openRead(token: string, count: number): Promise<IncomingMessage> {
  const { identity } = site.site;
  const options = {
    host: "127.0.0.1",
    port: site.facade.address.port,
    ca: certificatePem(identity.caCertificate),
    servername: serverNameOf(identity.siteId),
    agent: false as const,
    method: "POST",
    path: paths.readPrimes,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/octet-stream" },
  };
  return new Promise((resolve, reject) => {
    httpsRequest(options, resolve).on("error", reject).end(idsOf(count));
  });
}

test("an agent that reads none of its answers has room for some, and waits with the others", async () => {
  const [hostile, other] = [await enrolWithPrime("hostile"), await enrolWithPrime("other")];
  const before = store.read.length;
  const unread: IncomingMessage[] = [];
  for (let count = 0; count < answersCount; count++) unread.push(await openRead(hostile, 64));
  let startedCount = 0;
  const waiting = Array.from({ length: 4 }, async () => {
    const answer = await openRead(hostile, 64);
    startedCount++;
    return answer;
  });
  for (let round = 0; round < 5; round++) {
    const answer = await site.ask({ path: paths.readPrimes, token: other, octets: idsOf(6) });
    assert.equal(answer.body.length, 6 * (stored.length + 36));
  }
  assert.equal(startedCount, 0);
  const fetchedCount = store.read.length - before - 5 * 6;
  assert.ok(fetchedCount <= answersCount * 10, `${fetchedCount} primes were fetched for nobody`);
  // Who goes away makes room for the next.
  for (const answer of unread) answer.destroy();
  for (const answer of waiting) (await answer).destroy();
});

test("a read is answered whole, whatever the lengths of its primes", async () => {
  const { token } = await site.enrol("mixed");
  const json = { job: "j", snapshotId: makeUuidV7(Date.now()) };
  const { sessionId } = (await site.ask({ path: paths.sessions, token, json })).json<OpenSessionResponse>();
  const primes = [10, limits.primeStoredBytes, 1, 70_000, limits.primeStoredBytes, 300, 65_536].map((bytes) => {
    const content = randomBytes(bytes);
    return { id: primeIdOf(content), stored: content };
  });
  const octets = Buffer.concat(primes.flatMap(batchEntry));
  assert.equal((await site.ask({ path: paths.primes(sessionId), token, octets })).status, 200);
  const ids = Buffer.concat(primes.map(({ id }) => Buffer.from(id, "hex")));
  const answer = await site.ask({ path: paths.readPrimes, token, octets: ids });
  assert.ok(answer.body.equals(octets));
});

test.run();
