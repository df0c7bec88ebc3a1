// Goal: an agent downloads its own snapshots over real TLS as tar, zip and files, a cut is never taken for an end, and
// nothing of others shows. Method: a site with a small snapshot, and raw requests.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { contentDisposition, parseExportPath } from "#node/facade/export-path.ts";
import { certificatePem } from "#node/site/pem.ts";
import { batchEntry } from "#protocol/batch.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import * as contract from "#protocol/http.ts";
import { makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import type { NodePointer } from "#protocol/tree.ts";
import { SealedPrimes } from "#test/node/export/captured-tree.ts";
import { parseTar } from "#test/node/export/tar-parser.ts";
import { parseZip } from "#test/node/export/zip-parser.ts";
import { type MemoryStore, createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import { type TestSite, startTestSite } from "#test/support/test-site.ts";

const test = suite("export routes");
const primes = new SealedPrimes();
const large = randomBytes(6 * 1024 * 1024);
let store: MemoryStore;
let site: TestSite;
let token: string;
let snapshotId: string;
let home: NodePointer;

test.before(async () => {
  store = createMemoryStore();
  site = await startTestSite({ store });
  ({ token } = await site.enrol("office"));
  home = primes.node([
    primes.directory("home", [
      primes.file("a b+c", "small"),
      { ...primes.file("x", "raw"), name: "caf\xe9" as ByteString },
      primes.file("large", large),
    ]),
    primes.file("top", "top"),
  ]);
  snapshotId = await backUp(home);
});
test.after(() => site[Symbol.asyncDispose]());

async function backUp(root: NodePointer): Promise<string> {
  const id = makeUuidV7(Date.now());
  const opened = await site.ask({ path: contract.paths.sessions, token, json: { job: "home", snapshotId: id } });
  const { sessionId } = opened.json<contract.OpenSessionResponse>();
  const octets = Buffer.concat([...primes.stored].flatMap(([prime, stored]) => batchEntry({ id: prime, stored })));
  assert.equal((await site.ask({ path: contract.paths.primes(sessionId), token, octets })).status, 200);
  const facts = {
    job: "home",
    roots: [Buffer.from("/").toString("base64")],
    startedMs: 5,
    objectsCount: 3,
    filesCount: 2,
    bytes: 200,
    unreadableCount: 0,
  };
  const answer = await site.ask({
    path: contract.paths.commit(sessionId),
    token,
    json: { ...facts, snapshotId: id, root: nodePointerToWire(root) },
  });
  assert.equal(answer.status, 200);
  return id;
}

/** A request whose answer is not read yet. */
function open(path: string): Promise<IncomingMessage> {
  const { identity } = site.site;
  const options = {
    host: "127.0.0.1",
    port: site.facade.address.port,
    ca: certificatePem(identity.caCertificate),
    servername: serverNameOf(identity.siteId),
    agent: false as const,
  };
  return new Promise((resolve, reject) => {
    httpsRequest({ ...options, path, headers: { authorization: `Bearer ${token}` } }, resolve)
      .on("error", reject)
      .end();
  });
}

async function read(response: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

test("a tar of everything comes whole, with trailers that prove it", async () => {
  const response = await open(contract.paths.tar(snapshotId));
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers["content-type"], "application/x-tar");
  assert.equal(
    response.headers["content-disposition"],
    `attachment; filename="snapshot-${snapshotId}.tar"; filename*=UTF-8''snapshot-${snapshotId}.tar`,
  );
  const body = await read(response);
  assert.deepEqual(
    parseTar(body).map((member) => member.path),
    ["home/", "home/a b+c", "home/caf\xe9", "home/large", "top"],
  );
  assert.equal(response.trailers["costor-entries"], "5");
  assert.equal(response.trailers["content-digest"], `sha-256=:${createHash("sha256").update(body).digest("base64")}:`);
});

test("a zip of a directory holds what lies below it under its name", async () => {
  const response = await open(`${contract.paths.zip(snapshotId)}?path=/home`);
  assert.equal(response.headers["content-type"], "application/zip");
  const members = parseZip(await read(response));
  assert.deepEqual(
    members.map((member) => member.name),
    ["home/", "home/a b+c", "home/caf\xe9", "home/large", "COSTOR-NOTES.txt"],
  );
  assert.equal(response.trailers["costor-entries"], "5");
});

test("a file comes whole or by range, whatever bytes its name has", async () => {
  const path = contract.paths.file(snapshotId);
  const whole = await site.ask({ path: `${path}?path=/home/large`, token });
  assert.ok(whole.body.equals(large));
  assert.equal(whole.headers["content-length"], String(large.length));
  assert.equal(whole.headers["content-security-policy"], "sandbox");
  const part = await site.ask({ path: `${path}?path=/home/large`, token, headers: { range: "bytes=3000000-3000009" } });
  assert.equal(part.status, 206);
  assert.ok(part.body.equals(large.subarray(3_000_000, 3_000_010)));
  const beyond = await site.ask({
    path: `${path}?path=/home/large`,
    token,
    headers: { range: `bytes=${large.length}-` },
  });
  assert.equal(beyond.status, 416);
  assert.equal((await site.ask({ path: `${path}?path=/home/caf%E9`, token })).body.toString(), "raw");
  assert.equal((await site.ask({ path: `${path}?path=%2Fhome%2Fa+b%2Bc`, token })).body.toString(), "small");
  const known = await site.ask({
    path: `${path}?path=/home/large`,
    token,
    headers: { "if-none-match": String(whole.headers["etag"]) },
  });
  assert.equal(known.status, 304);
});

test("HEAD tells the headers and reads no content", async () => {
  const before = store.read.length;
  const file = await site.ask({ method: "HEAD", path: `${contract.paths.file(snapshotId)}?path=/home/large`, token });
  assert.deepEqual([file.status, file.headers["content-length"], file.body.length], [200, String(large.length), 0]);
  for (const range of ["bytes=0-3", `bytes=${large.length}-`]) {
    const path = `${contract.paths.file(snapshotId)}?path=/home/large`;
    const { status, headers } = await site.ask({ method: "HEAD", path, token, headers: { range } });
    assert.deepEqual([status, headers["content-length"]], [200, String(large.length)], "a range is for GET");
  }
  assert.equal((await site.ask({ method: "HEAD", path: contract.paths.tar(snapshotId), token })).status, 200);
  assert.ok(store.read.length - before < 4);
});

test("what is not there or not a file is a coded error", async () => {
  const codeOf = async (path: string) => (await site.ask({ path, token })).problem().code;
  const { tar, file } = contract.paths;
  assert.equal(await codeOf(`${tar(snapshotId)}?path=/nothing`), "path-unknown");
  assert.equal(await codeOf(`${tar(snapshotId)}?path=/home/../top`), "bad-request");
  assert.equal(await codeOf(`${tar(snapshotId)}?path=%zz`), "bad-request");
  assert.equal(await codeOf(`${file(snapshotId)}?path=/home`), "bad-request");
  assert.equal(await codeOf(file(snapshotId)), "bad-request");
  assert.equal(await codeOf(tar(makeUuidV7(1))), "snapshot-unknown");
  assert.equal(await codeOf(tar("x")), "snapshot-unknown");
});

test("another agent sees no snapshot, and no token nothing", async () => {
  const stranger = await site.enrol("stranger");
  for (const path of [contract.paths.tar, contract.paths.zip, contract.paths.file]) {
    assert.equal(
      (await site.ask({ path: path(snapshotId), token: stranger.token })).problem().code,
      "snapshot-unknown",
    );
    assert.equal((await site.ask({ path: path(snapshotId) })).problem().code, "unauthorised");
  }
});

test("damage found while sending cuts the connection, so that no part is taken for the whole", async () => {
  const damaged = primes.file("z-damaged", randomBytes(2_000_000));
  const id = await backUp(primes.node([primes.file("a", large), damaged]));
  store.lose("slices" in damaged.content ? damaged.content.slices[1]!.prime.id : assert.fail());
  for (const path of [contract.paths.tar(id), contract.paths.zip(id), `${contract.paths.file(id)}?path=/z-damaged`]) {
    const response = await open(path);
    assert.equal(response.statusCode, 200);
    await assert.rejects(read(response), { code: "ECONNRESET" });
    assert.equal(response.complete, false);
    assert.equal(response.trailers["content-digest"], undefined);
  }
});

test("damage found before the first byte is an error with its code", async () => {
  const damaged = primes.file("damaged", "damaged only here");
  const id = await backUp(primes.node([damaged]));
  store.lose("slices" in damaged.content ? damaged.content.slices[0]!.prime.id : assert.fail());
  for (const path of [contract.paths.tar(id), `${contract.paths.file(id)}?path=/damaged`])
    assert.equal((await site.ask({ path, token })).problem().code, "prime-missing");
});

test("exports beyond the limits are asked to come again, small files and other agents are served, and who leaves frees a place", async () => {
  const own = { token, snapshotId };
  const waiting: IncomingMessage[] = [];
  const fill = async (count: number): Promise<void> => {
    for (; count > 0; count--) waiting.push(await open(contract.paths.tar(snapshotId)));
    for (const path of [contract.paths.tar(snapshotId), `${contract.paths.file(snapshotId)}?path=/home/large`]) {
      const refused = await site.ask({ path, token });
      assert.equal(refused.problem().code, "too-many-requests");
      assert.ok(Number(refused.headers["retry-after"]) > 0);
    }
    const file = `${contract.paths.file(snapshotId)}?path=/home/`;
    assert.equal((await site.ask({ path: `${file}a+b%2Bc`, token })).body.toString(), "small");
    const range = { range: `bytes=1-${limits.smallFileBytes}` };
    const part = await site.ask({ path: `${file}large`, token, headers: range });
    assert.ok(part.body.equals(large.subarray(1, limits.smallFileBytes + 1)));
  };
  await fill(limits.exportsPerAgentCount);
  for (let agents = 1; agents < limits.exportsAtOnceCount / limits.exportsPerAgentCount; agents++) {
    ({ token } = await site.enrol(`other ${agents}`));
    snapshotId = await backUp(home);
    await fill(limits.exportsPerAgentCount);
  }
  ({ token } = await site.enrol("last"));
  snapshotId = await backUp(home);
  await fill(0);
  ({ token, snapshotId } = own);
  for (const response of waiting) response.destroy();
  for (;;) {
    const answer = await site.ask({ path: contract.paths.tar(snapshotId), token });
    if (answer.status === 200) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test("paths are parsed as bytes and names of downloads cannot break a header", () => {
  assert.deepEqual(parseExportPath("/x"), []);
  assert.deepEqual(parseExportPath("/x?path=//a//b/&y=1"), ["a", "b"]);
  assert.deepEqual(parseExportPath("/x?path=%ff/é"), ["\xff", "\xc3\xa9"]);
  assert.deepEqual(parseExportPath("/x?path=/why?.txt?"), ["why?.txt?"]);
  for (const bad of ["?path=a&path=b", "?path=%0", "?path=..", "?path=a%00"])
    assert.throws(() => parseExportPath(bad), { code: "bad-request" });
  assert.equal(
    contentDisposition('a"\r\n;é' as ByteString, ".tar"),
    `attachment; filename="a_____.tar"; filename*=UTF-8''a%22%0D%0A%3B%EF%BF%BD.tar`,
  );
});

test.run();
