// Goal: the kit does what it says, and a real facade stands it. Method: a site in this process with little patience, and
// its check-in after each attack.
import assert from "node:assert/strict";
import { certificatePem } from "#node/site/pem.ts";
import { paths } from "#protocol/http.ts";
import { limits } from "#protocol/limits.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import {
  type HostileTarget,
  type ValidRequest,
  endless,
  exchangeRaw,
  flood,
  malformedRequests,
  mutateRequest,
  requestBytes,
  trickled,
} from "./hostile-client.ts";
import { count } from "./level.ts";
import { suite } from "./suite.ts";
import { type TestSite, startTestSite } from "./test-site.ts";

const test = suite("hostile client", { timeoutMs: 300_000 });
const patience = { headersMs: 400, requestMs: 3_000, idleMs: 2_000, bodyWatchMs: 300 };
/** Longer than any patience of the site's, with its intervals of checking. */
const patienceMs = 8_000;
let site: TestSite;
let target: HostileTarget;
let valid: ValidRequest;

test.before(async () => {
  site = await startTestSite({ patience });
  const { identity } = site.site;
  target = {
    host: "127.0.0.1",
    port: site.facade.address.port,
    ca: certificatePem(identity.caCertificate),
    servername: serverNameOf(identity.siteId),
  };
  const { token } = await site.enrol();
  const body = Buffer.from(JSON.stringify({ job: "j", snapshotId: "01890a5d-ac96-774b-bcce-b302099a8057" }));
  valid = { method: "POST", path: paths.sessions, token, contentType: "application/json", body };
});
test.after(() => site[Symbol.asyncDispose]());
test.after.each(async () => {
  assert.equal((await site.ask({ path: paths.checkIn, token: valid.token })).status, 200, "the site still serves");
});

test("what is valid succeeds, so that what fails fails for its fault", async () => {
  const outcome = await exchangeRaw(target, requestBytes(valid, ["connection: close"]), { patienceMs });
  assert.equal(outcome.status, 200);
  assert.equal(outcome.ending, "closed");
});

test("nothing malformed succeeds, and no connection outlives the site's patience", async () => {
  const malformed = malformedRequests(valid);
  const outcomes = await Promise.all(malformed.map(({ bytes }) => exchangeRaw(target, bytes, { patienceMs })));
  for (const [index, { ending, status }] of outcomes.entries()) {
    assert.notEqual(ending, "open", malformed[index]!.title);
    assert.ok(status === undefined || (status >= 400 && status < 500), `${malformed[index]!.title}: ${status}`);
  }
});

test("mutations of a valid request never cause a fault of the site's own", async () => {
  const bytes = requestBytes(valid, ["connection: close"]);
  const total = count(200, 5_000);
  for (let seed = 0; seed < total; seed += 50) {
    const seeds = Array.from({ length: 50 }, (_, index) => seed + index);
    const outcomes = await Promise.all(
      seeds.map((one) => exchangeRaw(target, mutateRequest(bytes, one), { patienceMs, endsItself: true })),
    );
    for (const [index, { ending, status, received }] of outcomes.entries()) {
      // A connection that was answered may wait for the next request.
      assert.ok(ending !== "open" || status !== undefined, `seed ${seed + index} hangs`);
      assert.ok((status ?? 400) < 500, `seed ${seed + index}: ${received.toString("latin1", 0, 300)}`);
    }
  }
});

test("slow heads and bodies, half requests and silence end in time", async () => {
  const bytes = requestBytes(valid);
  const outcomes = await Promise.all([
    exchangeRaw(target, trickled(bytes, 1, 100), { patienceMs }),
    exchangeRaw(target, trickled(requestBytes({ ...valid, body: Buffer.alloc(5_000, 0x20) }), 150, 100), {
      patienceMs,
    }),
    exchangeRaw(target, bytes.subarray(0, -5), { patienceMs }),
    exchangeRaw(target, bytes.subarray(0, 20), { patienceMs }),
    exchangeRaw(target, bytes.subarray(0, 20), { patienceMs, endsItself: true }),
    exchangeRaw(target, Buffer.alloc(0), { patienceMs }),
    exchangeRaw(target, Buffer.alloc(0), { patienceMs, isPlain: true }),
  ]);
  assert.deepEqual(
    outcomes.map(({ ending }) => ending === "open"),
    outcomes.map(() => false),
  );
  for (const { status } of outcomes) assert.ok(status === undefined || status >= 400, `${status}`);
});

test("a client that sends without end and one that never reads are ended", async () => {
  const head = requestBytes({ ...valid, body: undefined }, ["transfer-encoding: chunked"]);
  const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(0x10000, 0x20), Buffer.from("\r\n")]);
  const endlessBody = (function* () {
    yield head;
    yield* endless(chunk);
  })();
  const description = requestBytes({ method: "GET", path: "/v1/openapi.json", token: valid.token });
  const [talker, deaf] = await Promise.all([
    exchangeRaw(target, endlessBody, { patienceMs }),
    exchangeRaw(target, endless(description), { patienceMs: 20_000, readsNothing: true }),
  ]);
  assert.notEqual(talker.ending, "open");
  assert.notEqual(deaf.ending, "open");
});

test("a flood of silent connections is cut down to the cap, and leaves the site serving", async () => {
  const wantedCount = limits.connectionsPerAddressCount + 50;
  {
    using connections = flood(target, wantedCount);
    while (connections.openCount() > limits.connectionsPerAddressCount)
      await new Promise((resolve) => setTimeout(resolve, 5));
  }
  while (!(await site.ask({ path: "/health" }).catch(() => undefined)));
});

test.run();
