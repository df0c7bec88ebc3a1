// Goal: each fault is what its name says, seen from both sides, and a plan repeats. Method: a counting server behind the
// proxy, one request a fault.
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest, createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { makeCa, makeLeaf } from "#node/site/certificates.ts";
import { certificatePem, keyPem } from "#node/site/pem.ts";
import { type FaultKind, createListedPlan, createSeededPlan, faultKinds } from "./fault-plan.ts";
import { type FaultProxy, type ProxyTarget, startFaultProxy } from "./fault-proxy.ts";
import { suite } from "./suite.ts";

const test = suite("fault proxy");
const bodyBytes = 300_000;
let credentials: { key: string; cert: string };
let target: ProxyTarget;
let server: ReturnType<typeof createServer>;
/** What the server met: whole bodies by their first text, and cut ones. */
const whole: string[] = [];
let cutCount = 0;

test.before(async () => {
  const ca = await makeCa("Fault proxy", Date.now());
  const leaf = await makeLeaf(ca, { dns: ["fault.test"], ip: [] }, Date.now());
  credentials = { key: keyPem(leaf.key), cert: certificatePem(leaf.certificate) };
  server = createServer(credentials, async (request, response) => {
    const pieces: Buffer[] = [];
    try {
      for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    } catch {
      cutCount++;
      return;
    }
    whole.push(request.url!);
    response.writeHead(200, { trailer: "x-count" });
    response.addTrailers({ "x-count": String(whole.length) });
    response.end(Buffer.concat(pieces));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  target = {
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    ca: certificatePem(ca.certificate),
    servername: "fault.test",
  };
});
test.after(() => {
  server.close();
  server.closeAllConnections();
});
test.before.each(() => {
  whole.length = 0;
  cutCount = 0;
});

/** Status and length of an answer, or the code of what broke. */
async function ask(proxy: FaultProxy, path = "/"): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  httpsRequest({ ...target, port: proxy.port, method: "POST", path, agent: false }, resolve)
    .on("error", reject)
    .end(Buffer.alloc(bodyBytes, 1));
  try {
    const answer = await promise;
    let bytes = 0;
    for await (const piece of answer as AsyncIterable<Buffer>) bytes += piece.length;
    return `${answer.statusCode} ${bytes}${answer.trailers["x-count"] ? " with trailers" : ""}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "broken";
  }
}

const whatHappens: Record<FaultKind, { answer: RegExp; wholeCount: number; cutCount?: number }> = {
  none: { answer: /^200 300000 with trailers$/, wholeCount: 1 },
  "cut-before": { answer: /^(ECONNRESET|EPIPE)$/, wholeCount: 0 },
  "cut-request": { answer: /^ECONNRESET$/, wholeCount: 0, cutCount: 1 },
  "lose-answer": { answer: /^ECONNRESET$/, wholeCount: 1 },
  "cut-answer": { answer: /^ECONNRESET$/, wholeCount: 1 },
  "delay-request": { answer: /^200 300000/, wholeCount: 1 },
  "delay-answer": { answer: /^200 300000/, wholeCount: 1 },
  duplicate: { answer: /^200 300000/, wholeCount: 2 },
  "duplicate-at-once": { answer: /^200 300000/, wholeCount: 2 },
  replay: { answer: /^200 300000/, wholeCount: 2 },
  hold: { answer: /^200 300000/, wholeCount: 1 },
  trickle: { answer: /^200 300000 with trailers$/, wholeCount: 1 },
  "gateway-error": { answer: /^503 \d+$/, wholeCount: 0 },
  "gateway-error-after": { answer: /^503 \d+$/, wholeCount: 1 },
};

for (const kind of faultKinds) {
  test(`${kind} is what it says, and the next request passes`, async () => {
    await using proxy = await startFaultProxy({ target, credentials, plan: createListedPlan([kind]) });
    assert.match(await ask(proxy), whatHappens[kind].answer);
    await proxy.settled();
    assert.equal(whole.length, whatHappens[kind].wholeCount);
    assert.equal(await ask(proxy), "200 300000 with trailers");
    assert.equal(cutCount, whatHappens[kind].cutCount ?? 0);
    assert.deepEqual(
      proxy.log.map((record) => record.kind),
      [kind, "none"],
    );
  });
}

test("a held request is overtaken", async () => {
  const plan = createListedPlan([{ kind: "hold", waitMs: 20_000 }]);
  await using proxy = await startFaultProxy({ target, credentials, plan });
  const first = ask(proxy, "/first");
  while (proxy.log.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await ask(proxy, "/second");
  assert.equal(await first, "200 300000 with trailers");
  assert.deepEqual(whole, ["/second", "/first"]);
});

test("a request without a body is cut too", async () => {
  await using proxy = await startFaultProxy({ target, credentials, plan: createListedPlan(["cut-request"]) });
  const { promise, resolve } = Promise.withResolvers<string>();
  httpsRequest({ ...target, port: proxy.port, agent: false })
    .on("error", (error: NodeJS.ErrnoException) => resolve(error.code!))
    .end();
  assert.equal(await promise, "ECONNRESET");
});

test("offline, everything is cut; online again, requests pass", async () => {
  await using proxy = await startFaultProxy({
    target,
    credentials,
    plan: createListedPlan([{ kind: "delay-request", waitMs: 1000 }]),
  });
  const cut = ask(proxy);
  while (proxy.log.length === 0) await new Promise((resolve) => setImmediate(resolve));
  proxy.setOnline(false);
  assert.match(await cut, /^ECONNRESET$/);
  assert.match(await ask(proxy), /^ECONNRESET$/);
  proxy.setOnline(true);
  assert.match(await ask(proxy), /^200/);
});

test("a site that is gone is a cut connection", async () => {
  await using proxy = await startFaultProxy({
    target: { ...target, port: 1 },
    credentials,
    plan: createListedPlan([]),
  });
  assert.match(await ask(proxy), /^ECONNRESET$/);
});

test("a plan repeats by its seed, and meets every kind in its proportion", () => {
  const kinds = (seed: number) =>
    Array.from({ length: 2000 }, (_, number) => createSeededPlan({ seed }).faultOf(number).kind);
  assert.deepEqual(kinds(1), kinds(1));
  assert.notDeepEqual(kinds(1), kinds(2));
  for (const kind of faultKinds)
    assert.ok(kinds(1).filter((met) => met === kind).length > (kind === "none" ? 850 : 40), kind);
  const only = createSeededPlan({ seed: 1, weights: { hold: 1, none: 1 } });
  assert.deepEqual([...new Set(Array.from({ length: 100 }, (_, number) => only.faultOf(number).kind))].sort(), [
    "hold",
    "none",
  ]);
});

test.run();
