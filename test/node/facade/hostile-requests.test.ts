/** Whatever a client sends, or does not send, ends in a coded answer or a closed connection, and the site still serves. */
import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { connect as netConnect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { zstdCompressSync } from "node:zlib";
import { type StoredPrime, batchEntry } from "#protocol/batch.ts";
import { type OpenSessionResponse, paths } from "#protocol/http.ts";
import { type PrimeId, makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { suite } from "#test/support/suite.ts";
import { type Ask, type TestSite, startTestSite } from "#test/support/test-site.ts";

const test = suite("hostile requests", { timeoutMs: 60_000 });
const patience = { headersMs: 400, requestMs: 3_000, idleMs: 5_000, bodyWatchMs: 300 };
let site: TestSite;
let token: string;
let sessionId: string;
let snapshotId: string;

test.before(async () => {
  site = await startTestSite({ patience });
  token = (await site.enrol()).token;
  snapshotId = makeUuidV7(Date.now());
  sessionId = (
    await site.ask({ path: paths.sessions, token, json: { job: "j", snapshotId } })
  ).json<OpenSessionResponse>().sessionId;
});
test.after(() => site[Symbol.asyncDispose]());
test.after.each(async () =>
  assert.equal((await site.ask({ path: paths.checkIn, token })).status, 200, "the site still serves"),
);

const codeOf = async (ask: Ask): Promise<string> => (await site.ask({ token, ...ask })).problem().code;

test("JSON that is malformed, of another shape or too large is refused with its field", async () => {
  const json = { "content-type": "application/json" };
  for (const octets of [
    "",
    "{",
    "[]",
    "null",
    '"x"',
    "{}",
    "\u0000",
    '{"__proto__":{"job":"x"}}',
    "[".repeat(100_000),
  ]) {
    assert.equal(
      await codeOf({ path: paths.sessions, octets: Buffer.from(octets), headers: json }),
      "bad-request",
      octets.slice(0, 20),
    );
  }
  for (const wrong of [
    { job: "" },
    { job: "x".repeat(201) },
    { job: 7 },
    { snapshotId: "x" },
    { snapshotId: "../../etc" },
    { extra: 1 },
    { expectedBytes: -1 },
    { expectedBytes: 1e300 },
  ]) {
    const answer = await site.ask({ path: paths.sessions, token, json: { job: "j", snapshotId, ...wrong } });
    assert.equal(answer.problem().code, "bad-request");
    assert.match(answer.problem().detail, new RegExp(Object.keys(wrong)[0]!));
  }
  assert.equal(
    await codeOf({ path: paths.sessions, json: { job: "x".repeat(limits.jsonBodyBytes) } }),
    "limit-exceeded",
  );
  assert.equal(await codeOf({ path: paths.sessions, octets: Buffer.alloc(8) }), "bad-request");
  assert.equal(
    await codeOf({ path: paths.sessions, octets: Buffer.alloc(8), headers: { "content-type": "text/html" } }),
    "bad-request",
  );
});

test("batches and lists of ids that are cut, lie about lengths or exceed a limit are refused", async () => {
  const head = (lengthBytes: number): Buffer => {
    const bytes = Buffer.alloc(36);
    bytes.writeUInt32BE(lengthBytes, 32);
    return bytes;
  };
  const prime = (stored: Buffer): StoredPrime => ({ id: primeIdOf(stored), stored });
  const many = Buffer.concat(
    Array.from({ length: limits.batchPrimesCount + 1 }, () => batchEntry(prime(Buffer.of(1)))).flat(),
  );
  const wrong: [Buffer, string][] = [
    [Buffer.alloc(1), "bad-request"],
    [Buffer.alloc(35), "bad-request"],
    [head(1), "bad-request"],
    [head(0xffff_ffff), "limit-exceeded"],
    [head(limits.primeStoredBytes + 1), "limit-exceeded"],
    [many, "limit-exceeded"],
    [head(0), "prime-mismatch"],
  ];
  for (const [octets, code] of wrong) assert.equal(await codeOf({ path: paths.primes(sessionId), octets }), code);
  assert.equal(await codeOf({ path: paths.missing(sessionId), octets: Buffer.alloc(33) }), "bad-request");
  assert.equal(
    await codeOf({ path: paths.missing(sessionId), octets: Buffer.alloc((limits.missingIdsCount + 1) * 32) }),
    "limit-exceeded",
  );
  assert.equal(
    await codeOf({ path: paths.readPrimes, octets: Buffer.alloc((limits.readIdsCount + 1) * 32) }),
    "limit-exceeded",
  );
});

/** Sends raw bytes on a connection of its own; what comes back until the site closes it. */
async function raw(bytes: string | Buffer, then?: (socket: Socket) => void): Promise<string> {
  const socket = await site.connect();
  socket.on("error", () => {});
  socket.write(bytes);
  then?.(socket);
  return text(socket).catch((error: NodeJS.ErrnoException) => `closed: ${error.code}`);
}

const post = (path: string, headers: string): string =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/octet-stream\r\n${headers}\r\n`;

test("a body that is announced too large is refused before it is read, and so is a chunked one that grows too large", async () => {
  const announced = await raw(post(paths.primes(sessionId), `content-length: ${2 ** 40}\r\n`));
  assert.match(announced, /^HTTP\/1\.1 413 /);
  assert.match(announced, /connection: close/i);
  const chunked = await raw(post(paths.missing(sessionId), "transfer-encoding: chunked\r\n"), (socket) => {
    const chunk = Buffer.alloc(256 * 1024);
    const timer = setInterval(
      () => socket.write(Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")])),
      5,
    );
    socket.once("close", () => clearInterval(timer));
  });
  assert.match(chunked, /^HTTP\/1\.1 413 |^closed: /);
});

test("without a token no more is taken than an enrolment needs", async () => {
  const longest = { secret: "s".repeat(64), hostName: "\0".repeat(200) };
  assert.equal((await site.ask({ path: paths.enrol, json: longest })).problem().code, "enrolment-refused");
  const json = { ...longest, padding: "x".repeat(limits.enrolBodyBytes) };
  for (const path of [paths.enrol, "/v1/nothing"])
    assert.equal((await site.ask({ path, json })).problem().code, "limit-exceeded");
});

test("requests that are no HTTP, or mean two things at once, are refused", async () => {
  const auth = `authorization: Bearer ${token}\r\n`;
  const broken = [
    "\0\0\0\0\r\n\r\n",
    "GET\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    randomBytes(2000).toString("latin1"),
    `POST ${paths.sessions} HTTP/1.1\r\nhost: x\r\n${auth}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST ${paths.sessions} HTTP/1.1\r\nhost: x\r\n${auth}content-length: 5\r\ncontent-length: 6\r\n\r\n`,
    `POST ${paths.sessions} HTTP/1.1\r\nhost: x\r\n${auth}content-length: -1\r\n\r\n`,
    `GET ${paths.checkIn} HTTP/1.1\r\nhost: x\r\nx: a\nb\0\r\n\r\n`,
    `GET ${paths.checkIn} HTTP/1.1\r\nhost: x\r\nx: ${"a".repeat(limits.requestHeaderBytes + 1)}\r\n\r\n`,
  ];
  for (const bytes of broken) assert.match(await raw(bytes), /^HTTP\/1\.1 4\d\d |^$|^closed: /, bytes.slice(0, 60));
});

test("plain HTTP on the HTTPS port is closed", async () => {
  const socket = netConnect(site.facade.address.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
  const answer = await text(socket).catch(() => "");
  assert.equal(answer.includes("200"), false);
});

test("headers, handshakes and bodies that trickle are ended", async () => {
  const trickle = (socket: Socket): void => {
    const timer = setInterval(() => socket.write("a"), 50);
    socket.once("close", () => clearInterval(timer));
  };
  const silent = netConnect(site.facade.address.port, "127.0.0.1");
  silent.on("error", () => {});
  // Each of them ends: by the site's patience, or this test's time-out fails it.
  await Promise.all([
    raw("GET / HTTP/1.1\r\nx: ", trickle),
    raw(post(paths.missing(sessionId), "content-length: 3200\r\n"), trickle),
    raw(post(paths.primes(sessionId), "content-length: 320000\r\n"), trickle),
    raw(post(paths.sessions, "content-length: 500\r\n").replace("application/octet-stream", "application/json")),
    text(silent).catch(() => ""),
  ]);
});

test("a body that is cut keeps nothing", async () => {
  const stored = randomBytes(40);
  const batch = Buffer.concat(batchEntry({ id: primeIdOf(stored), stored }));
  const socket = await site.connect();
  socket.on("error", () => {});
  socket.write(post(paths.primes(sessionId), `content-length: ${batch.length + 100}\r\n`));
  socket.write(batch);
  await new Promise((resolve) => setImmediate(resolve));
  socket.end();
  await text(socket).catch(() => "");
  const { body } = await site.ask({
    path: paths.missing(sessionId),
    token,
    octets: Buffer.from(primeIdOf(stored), "hex"),
  });
  assert.deepEqual([...body], [1]);
});

test("addresses that try tricks lead nowhere", async () => {
  const tricks = [
    "/",
    "//",
    "/v1",
    "/v1/snapshots/..",
    "/v1/snapshots/../../../../etc/passwd",
    "/v1/snapshots/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/v1/snapshots/%00",
    "/v1/snapshots/%ff%fe",
    "/v1/snapshots/%zz",
    `/v1/snapshots/${"a".repeat(5000)}`,
    "/v1/snapshots/__proto__",
    "/v1/sessions/constructor/commit",
    "/V1/SNAPSHOTS",
    "/v1/snapshots//",
    "/v1/snapshots;x",
    "/.git/config",
    "/site/secrets",
  ];
  for (const path of tricks) {
    const { status, code } = (await site.ask({ path, token })).problem();
    assert.ok([400, 404].includes(status), `${path}: ${code}`);
  }
});

/** A tree prime whose few stored bytes expand to `plain`. */
function smallPrime(plain: Buffer): { prime: StoredPrime; key: Buffer } {
  const compressed = zstdCompressSync(plain);
  const length: number[] = [];
  for (let rest = compressed.length; ; rest >>>= 7) {
    length.push(rest >= 0x80 ? (rest & 0x7f) | 0x80 : rest);
    if (rest < 0x80) break;
  }
  const key = randomBytes(32);
  const cipher = createCipheriv("aes-256-gcm", key, Buffer.alloc(12)).setAAD(Buffer.of(1, 2));
  const sealed = cipher.update(Buffer.concat([Buffer.of(2), Buffer.from(length), compressed]));
  cipher.final();
  const stored = Buffer.concat([Buffer.of(1), sealed, cipher.getAuthTag()]);
  return { prime: { id: primeIdOf(stored), stored }, key };
}

const commitOf = (root: unknown) => ({
  snapshotId,
  job: "j",
  roots: ["Lw=="],
  startedMs: 1,
  objectsCount: 1,
  filesCount: 1,
  bytes: 1,
  unreadableCount: 0,
  root,
});

test("a tree that is a bomb, too deep, too large to be inlined, garbage or beyond its prime is refused, in little memory", async () => {
  // Far more than any reference may say.
  const { prime, key } = smallPrime(Buffer.alloc(512 * 1024 * 1024));
  const before = process.memoryUsage.rss();
  await site.ask({ path: paths.primes(sessionId), token, octets: Buffer.concat(batchEntry(prime)) });
  const slice = {
    id: prime.id,
    key: key.toString("base64"),
    primeBytes: limits.primePlainBytes,
    offsetBytes: 0,
    lengthBytes: limits.primePlainBytes,
  };
  assert.equal(await codeOf({ path: paths.commit(sessionId), json: commitOf({ slice }) }), "tree-invalid");
  assert.ok(process.memoryUsage.rss() - before < 100 * 1024 * 1024);
  const inline = (bytes: Buffer) => ({ inline: bytes.toString("base64") });
  assert.equal(
    await codeOf({ path: paths.commit(sessionId), json: commitOf(inline(Buffer.alloc(1000, 0x81))) }),
    "tree-invalid",
  );
  const large = inline(Buffer.alloc(limits.rootInlineBytes + 3, 0x81));
  assert.equal(await codeOf({ path: paths.commit(sessionId), json: commitOf(large) }), "bad-request");
  assert.equal(
    await codeOf({ path: paths.commit(sessionId), json: commitOf(inline(randomBytes(1000))) }),
    "tree-invalid",
  );
  assert.equal(
    await codeOf({ path: paths.commit(sessionId), json: commitOf({ slice: { ...slice, offsetBytes: 1 } }) }),
    "bad-request",
  );
  assert.equal(
    await codeOf({ path: paths.commit(sessionId), json: commitOf({ slice: { ...slice, key: "AA==" } }) }),
    "bad-request",
  );
  assert.equal(
    await codeOf({ path: paths.commit(sessionId), json: commitOf({ slice: { ...slice, primeBytes: 2 ** 40 } }) }),
    "bad-request",
  );
  assert.equal(await codeOf({ path: paths.commit(sessionId), json: commitOf({}) }), "bad-request");
});

test("a tree prime of few bytes that holds millions of values costs little", async () => {
  const values = Buffer.alloc(limits.primePlainBytes, 0xa0);
  Buffer.of(0x9a, 0, 0x3f, 0xff, 0xfb).copy(values);
  for (const lengthBytes of [limits.primePlainBytes, limits.treePageBytes]) {
    const plain = Buffer.from(values.subarray(0, lengthBytes));
    plain.writeUInt32BE(lengthBytes - 5, 1);
    const { prime, key } = smallPrime(plain);
    assert.ok(prime.stored.length < 1000);
    await site.ask({ path: paths.primes(sessionId), token, octets: Buffer.concat(batchEntry(prime)) });
    const slice = { id: prime.id, key: key.toString("base64"), primeBytes: lengthBytes, offsetBytes: 0, lengthBytes };
    const before = process.memoryUsage.rss();
    assert.equal(await codeOf({ path: paths.commit(sessionId), json: commitOf({ slice }) }), "tree-invalid");
    assert.ok(process.memoryUsage.rss() - before < 150 * 1024 * 1024);
  }
});

test("connections beyond the cap of an address are closed, and room is there again afterwards", async () => {
  const open: Socket[] = [];
  const closed: Promise<unknown>[] = [];
  let closedCount = 0;
  const count = limits.connectionsPerAddressCount + 20;
  await new Promise<void>((resolve) => {
    for (let i = 0; i < count; i++) {
      const socket = netConnect(site.facade.address.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.once("close", () => {
        if (++closedCount >= 20) resolve();
      });
      open.push(socket);
      closed.push(new Promise((done) => socket.once("close", done)));
    }
  });
  for (const socket of open) socket.destroy();
  await Promise.all(closed);
  // The site hears of the last ones a moment later.
  while (!(await site.ask({ path: "/health" }).catch(() => undefined)));
});

test("ids that are not held, of any spelling, are missing", async () => {
  const unknown = "ab".repeat(32) as PrimeId;
  const answer = await site.ask({ path: paths.readPrimes, token, octets: Buffer.from(unknown, "hex") });
  assert.deepEqual(answer.problem().details, { missing: [unknown] });
});

test.run();
