/**
 * Goal: an agent talks only to its own site, survives what networks do, and takes no answer on trust.
 * Method: a scripted HTTPS server with a site's certificates, and virtual time for the waits.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { SiteClient, type SiteClientInit } from "#agent/site-client/site-client.ts";
import { meetSite } from "#agent/site-client/first-contact.ts";
import { formatSiteAddress } from "#agent/site-client/site-address.ts";
import { batchEntry, parseBatch, type StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import { parseSessionId, type PrimeId, primeIdFromBytes } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { VirtualClock } from "../schedule/virtual-clock.ts";
import { type Answerer, type ScriptedSite, sendJson, startScriptedSite, testSiteId } from "./scripted-site.ts";

const test = suite("site client");
const SESSION = parseSessionId("01890a5d-ac96-774b-bcce-b302099a8057");
const CHECKED_IN = { siteName: "School", storeGeneration: "g1", serverTimeMs: 5 };

function clientOf(
  site: ScriptedSite,
  init: Partial<SiteClientInit> = {},
  clock = new VirtualClock(1_000_000),
): SiteClient {
  return new SiteClient({ site: site.settings, token: "the-token", ...init }, { clock, random: () => 0.5 });
}

const primeOf = (size: number, fill: number): StoredPrime => {
  const stored = Buffer.alloc(size, fill);
  return { id: primeIdFromBytes(createHash("sha256").update(stored).digest()), stored };
};
const rejection = async (promise: Promise<unknown>): Promise<CostorError> => {
  const error = await promise.then(
    () => assert.fail("was accepted"),
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof CostorError, String(error));
  return error;
};

test("a call carries the token and gives the checked answer", async () => {
  await using site = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN));
  using client = clientOf(site);
  assert.deepEqual(await client.checkIn(), CHECKED_IN);
  assert.deepEqual(
    site.asked.map((one) => [one.method, one.path, one.authorization]),
    [["GET", "/v1/check-in", "Bearer the-token"]],
  );
});

test("an answer that is not as agreed is refused, with the field that is wrong", async () => {
  const answers: unknown[] = [{ ...CHECKED_IN, serverTimeMs: "5" }, [], null];
  await using site = await startScriptedSite((_, response) => sendJson(response, answers.shift()));
  using client = clientOf(site);
  const first = await rejection(client.checkIn());
  assert.equal(first.code, "site-answer-invalid");
  assert.match(first.message, /serverTimeMs/);
  assert.equal((await rejection(client.checkIn())).code, "site-answer-invalid");
  assert.equal((await rejection(client.checkIn())).code, "site-answer-invalid");
});

test("a problem of the site arrives as the error that it names, with its details", async () => {
  const problem = {
    type: "urn:x",
    title: "t",
    status: 409,
    detail: "two are missing",
    code: "commit-incomplete",
    details: { missing: ["aa"] },
  };
  await using site = await startScriptedSite((_, response) => sendJson(response, problem, 409));
  using client = clientOf(site);
  const error = await rejection(client.checkIn());
  assert.deepEqual(
    [error.code, error.message, error.details["missing"]],
    ["commit-incomplete", "two are missing", ["aa"]],
  );
  assert.equal(site.asked.length, 1, "a failure that stays is not tried again");
});

test("a failure that can pass is tried again with growing waits, as long as Retry-After says at least", async () => {
  const busy = { type: "urn:x", title: "t", status: 429, detail: "later", code: "too-many-requests" };
  const answers: Answerer[] = [
    (_, response) => sendJson(response, busy, 429, { "retry-after": "7" }),
    (_, response) => response.writeHead(502).end("<html>bad gateway</html>"),
    (_, response) => response.destroy(),
    // The first of these is taken for a kept connection that had ended, and repeated without a wait.
    (_, response) => response.destroy(),
    (_, response) => sendJson(response, CHECKED_IN),
  ];
  await using site = await startScriptedSite((asked, response, request) => answers.shift()!(asked, response, request));
  const clock = new VirtualClock(0);
  using client = clientOf(site, {}, clock);
  assert.deepEqual(await client.checkIn(), CHECKED_IN);
  assert.deepEqual(clock.sleptMs, [7_000, 250, 500]);
});

test("a site that never answered is given up early, one that did is waited for", async () => {
  const site = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN));
  const clock = new VirtualClock(0);
  using client = clientOf(site, { firstContactForMs: 5_000, reconnectForMs: 300_000 }, clock);
  await client.checkIn();
  await site[Symbol.asyncDispose]();
  using stranger = clientOf(site, { firstContactForMs: 5_000 }, clock);
  assert.equal((await rejection(stranger.checkIn())).code, "site-unreachable");
  assert.ok(clock.nowMs() <= 5_000, String(clock.nowMs()));
  const before = clock.nowMs();
  assert.equal((await rejection(client.checkIn())).code, "site-unreachable");
  assert.ok(clock.nowMs() - before > 250_000, String(clock.nowMs()));
});

test("a kept connection that the site closed meanwhile is no failure", async () => {
  await using site = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN));
  const clock = new VirtualClock(0);
  using client = clientOf(site, {}, clock);
  for (let round = 0; round < 5; round++) {
    await client.checkIn();
    site.cutConnections();
  }
  assert.deepEqual(
    clock.sleptMs.filter((ms) => ms > 250),
    [],
  );
});

test("the other addresses are tried when the first does not answer", async () => {
  await using site = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN));
  const [address] = site.settings.addresses;
  const settings = {
    ...site.settings,
    addresses: [{ host: "127.0.0.1", port: 1 }, { host: "no-such-host.invalid", port: 1 }, address!],
  };
  using client = clientOf(site, { site: settings });
  assert.deepEqual(await client.checkIn(), CHECKED_IN);
});

test("a server of another authority, or with another name, is refused at once and sent nothing", async () => {
  for (const options of [{ authority: "Stranger" }, { serverName: "other.costor.internal" }]) {
    await using home = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN));
    await using other = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN), options);
    const clock = new VirtualClock(0);
    using client = clientOf(home, { site: { ...home.settings, addresses: other.settings.addresses } }, clock);
    assert.equal((await rejection(client.checkIn())).code, "site-identity-changed");
    assert.deepEqual([clock.sleptMs, other.receivedBytes()], [[], 0]);
  }
});

test("an expired certificate says to check the clocks", async () => {
  await using site = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN), { hasExpired: true });
  using client = clientOf(site);
  const error = await rejection(client.checkIn());
  assert.equal(error.code, "site-unreachable");
  assert.match(error.message, /clocks/);
});

test("a server that is no site at all gives a clear error", async () => {
  await using site = await startScriptedSite((_, response) =>
    response.writeHead(404, { "content-type": "text/html" }).end("nothing"),
  );
  using client = clientOf(site);
  const error = await rejection(client.checkIn());
  assert.equal(error.code, "site-answer-invalid");
  assert.match(error.message, /HTTP status 404/);
});

test("primes go out as one batch, unjoined and unchanged", async () => {
  const primes = [primeOf(3, 1), primeOf(700_000, 2), primeOf(1, 3)];
  await using site = await startScriptedSite((asked, response) =>
    sendJson(response, { storedCount: [...parseBatch(asked.body)].length }),
  );
  using client = clientOf(site);
  await client.sendPrimes(SESSION, primes);
  assert.equal(site.asked.length, 1);
  const received = [...parseBatch(site.asked[0]!.body)];
  assert.deepEqual(
    received.map((prime) => prime.id),
    primes.map((prime) => prime.id),
  );
  assert.ok(received.every((prime, index) => Buffer.compare(prime.stored, primes[index]!.stored) === 0));
});

test("a refusal that comes before the body is read arrives, and ends the sending", async () => {
  const refusal = { type: "urn:x", title: "t", status: 401, detail: "no", code: "unauthorised" };
  await using site = await startScriptedSite((_, response) => sendJson(response, refusal, 401), {
    answersUnread: true,
  });
  using client = clientOf(site);
  const primes = Array.from({ length: 4 }, (_, index) => primeOf(4_000_000, index));
  assert.equal((await rejection(client.sendPrimes(SESSION, primes))).code, "unauthorised");
});

test("under a bandwidth limit the bytes take their time, in batches that no site gives up on", async () => {
  const primes = Array.from({ length: 12 }, (_, index) => primeOf(400_000, index));
  await using site = await startScriptedSite((asked, response) =>
    sendJson(response, { storedCount: [...parseBatch(asked.body)].length }),
  );
  const clock = new VirtualClock(0);
  using client = clientOf(site, { sendBytesPerSecond: 100_000 }, clock);
  await Promise.all([client.sendPrimes(SESSION, primes.slice(0, 6)), client.sendPrimes(SESSION, primes.slice(6))]);
  const expectedMs = (12 * 400_000) / 100;
  assert.ok(Math.abs(clock.nowMs() - expectedMs) < expectedMs * 0.02, `${clock.nowMs()} against ${expectedMs}`);
  assert.ok(site.asked.every((one) => one.body.length <= 500_000));
  assert.equal(site.asked.length, 12);
});

test("what is missing is asked in parts and answered in order", async () => {
  await using site = await startScriptedSite((asked, response) => {
    const octets = Buffer.alloc(asked.body.length / 32, 0);
    for (let at = 0; at < octets.length; at++) octets[at] = asked.body[at * 32]! & 1;
    response.writeHead(200, { "content-type": "application/octet-stream" }).end(octets);
  });
  using client = clientOf(site);
  const ids = Array.from({ length: 70_000 }, (_, index) => Buffer.alloc(32, index % 7).toString("hex") as PrimeId);
  const missing = await client.missing(SESSION, ids);
  assert.deepEqual(
    missing,
    ids.map((_, index) => (index % 7) % 2 === 1),
  );
  assert.equal(site.asked.length, 2);
});

test("an answer about missing primes that is too short or holds other bytes is refused", async () => {
  const answers = [Buffer.from([1]), Buffer.from([1, 2])];
  await using site = await startScriptedSite((_, response) => response.writeHead(200).end(answers.shift()));
  using client = clientOf(site);
  const ids = [primeOf(1, 1).id, primeOf(1, 2).id];
  assert.equal((await rejection(client.missing(SESSION, ids))).code, "site-answer-invalid");
  assert.equal((await rejection(client.missing(SESSION, ids))).code, "site-answer-invalid");
});

test("reading goes on behind the last whole prime after each cut of the connection", async () => {
  const primes = Array.from({ length: 40 }, (_, index) => primeOf(50_000 + index, index));
  let cutCount = 0;
  await using site = await startScriptedSite(async (asked, response) => {
    response.writeHead(200, { "content-type": "application/octet-stream" });
    const count = asked.body.length / 32;
    const body = Buffer.concat(primes.slice(primes.length - count).flatMap((prime) => batchEntry(prime)));
    if (count <= 4) return void response.end(body);
    cutCount++;
    // Three primes and a part of the fourth.
    await new Promise<void>((written) => response.write(body.subarray(0, 170_000), () => written()));
    setTimeout(() => response.destroy(), 20);
  });
  using client = clientOf(site);
  const received: PrimeId[] = [];
  for await (const prime of client.readPrimes(primes.map((one) => one.id))) {
    assert.ok(Buffer.compare(prime.stored, primes[received.length]!.stored) === 0);
    received.push(prime.id);
  }
  assert.deepEqual(
    received,
    primes.map((one) => one.id),
  );
  assert.ok(cutCount >= 10, String(cutCount));
});

test("a prime in place of another is refused", async () => {
  const [asked, other] = [primeOf(5, 1), primeOf(5, 2)];
  await using site = await startScriptedSite((_, response) =>
    response.writeHead(200).end(Buffer.concat(batchEntry(other))),
  );
  using client = clientOf(site);
  assert.equal((await rejection(Array.fromAsync(client.readPrimes([asked.id])))).code, "site-answer-invalid");
});

test("an abort ends a call at once with the signal's reason, and is not tried again", async () => {
  await using site = await startScriptedSite(() => undefined);
  const clock = new VirtualClock(0);
  using client = clientOf(site, {}, clock);
  const controller = new AbortController();
  setTimeout(() => controller.abort(new CostorError("interrupted", "stop")), 30);
  assert.equal((await rejection(client.checkIn(controller.signal))).code, "interrupted");
  assert.deepEqual(clock.sleptMs, []);
});

test("connections are kept and shared by parallel calls", async () => {
  await using site = await startScriptedSite((_, response) => sendJson(response, CHECKED_IN));
  using client = clientOf(site, { socketsCount: 3 });
  await Promise.all(Array.from({ length: 30 }, () => client.checkIn()));
  assert.ok(site.connectionsCount() <= 3, String(site.connectionsCount()));
});

test("the first contact finds the authority by the token's hash and sends nothing", async () => {
  await using site = await startScriptedSite((_, response) => sendJson(response, {}));
  const token = {
    addresses: ["127.0.0.1:1", formatSiteAddress(site.settings.addresses[0]!)],
    siteId: testSiteId,
    caHash: site.caHash,
    secret: Buffer.alloc(16),
  };
  const met = await meetSite(token);
  assert.equal(met.caCertificate.trim(), site.settings.caCertificate.trim());
  assert.deepEqual(met.addresses, [site.settings.addresses[0], { host: "127.0.0.1", port: 1 }]);
  assert.equal(site.receivedBytes(), 0);
  const error = await rejection(meetSite({ ...token, caHash: Buffer.alloc(32, 1) }));
  assert.equal(error.code, "site-identity-changed");
  assert.equal(site.receivedBytes(), 0);
});

test("the first contact with nobody says that the site cannot be reached", async () => {
  const token = { addresses: ["127.0.0.1:1"], siteId: testSiteId, caHash: Buffer.alloc(32), secret: Buffer.alloc(16) };
  assert.equal((await rejection(meetSite(token))).code, "site-unreachable");
});

test.run();
