/** What a site has acknowledged outlives it: the same data directory, opened again with the real store in its thread. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { openServedStore } from "#node/site/site-store.ts";
import { batchEntry, parseBatch } from "#protocol/batch.ts";
import { type OpenSessionResponse, type SnapshotResponse, paths } from "#protocol/http.ts";
import { type PrimeId, makeUuidV7, primeIdToBytes } from "#protocol/ids.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { type TestSite, startTestSite } from "#test/support/test-site.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("restart of a site");

async function withSite<T>(dataDirectory: string, work: (site: TestSite) => Promise<T>): Promise<T> {
  const failed = (error: unknown): never => assert.fail(String(error));
  await using store = await openServedStore(dataDirectory, { onEvent: () => {}, onFailure: failed });
  await using site = await startTestSite({ dataDirectory, store });
  return await work(site);
}

const idsOf = (ids: readonly PrimeId[]): Buffer => Buffer.concat(ids.map(primeIdToBytes));

test("agents, sessions, primes, snapshots and certificates are there after a restart", async () => {
  const dataDirectory = await scratchDirectory("restart");
  const maker = new TreeMaker();
  const root = nodePointerToWire(maker.node([maker.file("a", randomBytes(70_000)), maker.file("b")]));
  const snapshotId = makeUuidV7(Date.now());
  const facts = { startedMs: 1, objectsCount: 2, filesCount: 2, bytes: 1, unreadableCount: 0 };
  const commit = { snapshotId, job: "home", roots: ["Lw=="], ...facts, root };
  const open = { path: paths.sessions, json: { job: "home", snapshotId } };
  const half = Math.floor(maker.primes.length / 2);

  const first = await withSite(dataDirectory, async (site) => {
    const { token } = await site.enrol();
    const revoked = await site.enrol();
    await site.site.agents.revoke(site.site.agents.list().at(-1)!.id, 1);
    const { sessionId, storeGeneration } = (await site.ask({ ...open, token })).json<OpenSessionResponse>();
    const octets = Buffer.concat(maker.primes.slice(0, half).flatMap(batchEntry));
    assert.equal((await site.ask({ path: paths.primes(sessionId), token, octets })).status, 200);
    return { token, revoked: revoked.token, sessionId, storeGeneration, ca: site.site.identity.caCertificate };
  });
  const { token, sessionId } = first;

  const receivedMs = await withSite(dataDirectory, async (site) => {
    assert.deepEqual(site.site.identity.caCertificate, first.ca);
    assert.equal((await site.ask({ path: paths.checkIn, token: first.revoked })).problem().code, "unauthorised");
    const again = (await site.ask({ ...open, token })).json<OpenSessionResponse>();
    assert.deepEqual([again.sessionId, again.storeGeneration], [sessionId, first.storeGeneration]);
    const ids = maker.primes.map((prime) => prime.id);
    const missing = await site.ask({ path: paths.missing(sessionId), token, octets: idsOf(ids) });
    assert.deepEqual(
      [...missing.body],
      ids.map((_, index) => Number(index >= half)),
    );
    assert.equal(
      (await site.ask({ path: paths.commit(sessionId), token, json: commit })).problem().code,
      "commit-incomplete",
    );
    const octets = Buffer.concat(maker.primes.slice(half).flatMap(batchEntry));
    assert.equal((await site.ask({ path: paths.primes(sessionId), token, octets })).status, 200);
    return (await site.ask({ path: paths.commit(sessionId), token, json: commit })).json<{ receivedMs: number }>()
      .receivedMs;
  });

  await withSite(dataDirectory, async (site) => {
    const repeated = (await site.ask({ path: paths.commit(sessionId), token, json: commit })).json<{
      receivedMs: number;
    }>();
    assert.equal(repeated.receivedMs, receivedMs);
    const shown = (await site.ask({ path: paths.snapshot(snapshotId), token })).json<SnapshotResponse>();
    assert.deepEqual(shown.root, root);
    const read = await site.ask({
      path: paths.readPrimes,
      token,
      octets: idsOf(maker.primes.map((prime) => prime.id)),
    });
    assert.deepEqual(
      [...parseBatch(read.body)].map((prime) => Buffer.from(prime.stored)),
      maker.primes.map((prime) => Buffer.from(prime.stored)),
    );
  });
});

test("batches from many sides at once are all kept, in whatever order they come", async () => {
  await withSite(await scratchDirectory("parallel"), async (site) => {
    const agents = await Promise.all([1, 2, 3].map(() => site.enrol()));
    const makers = agents.map(() => new TreeMaker());
    const work = agents.map(async ({ token }, index) => {
      const maker = makers[index]!;
      for (let i = 0; i < 40; i++) maker.seal(randomBytes(20_000 + i), "content");
      const json = { job: "j", snapshotId: makeUuidV7(Date.now()) };
      const { sessionId } = (await site.ask({ path: paths.sessions, token, json })).json<OpenSessionResponse>();
      const batches = maker.primes.map((prime) => Buffer.concat(batchEntry(prime)));
      const twice = [...batches, ...batches.toReversed()];
      await Promise.all(twice.map((octets) => site.ask({ path: paths.primes(sessionId), token, octets })));
      const octets = idsOf(maker.primes.map((prime) => prime.id));
      const missing = await site.ask({ path: paths.missing(sessionId), token, octets });
      assert.deepEqual(
        [...missing.body],
        maker.primes.map(() => 0),
      );
    });
    await Promise.all(work);
  });
});

test("a client that does not read holds up nobody, and little is fetched for it", async () => {
  await withSite(await scratchDirectory("slow-reader"), async (site) => {
    const { token } = await site.enrol();
    const maker = new TreeMaker();
    for (let i = 0; i < 60; i++) maker.seal(randomBytes(1_000_000), "content");
    const json = { job: "j", snapshotId: makeUuidV7(Date.now()) };
    const { sessionId } = (await site.ask({ path: paths.sessions, token, json })).json<OpenSessionResponse>();
    for (let at = 0; at < 60; at += 12) {
      const octets = Buffer.concat(maker.primes.slice(at, at + 12).flatMap(batchEntry));
      assert.equal((await site.ask({ path: paths.primes(sessionId), token, octets })).status, 200);
    }
    let fetchedCount = 0;
    const started = Promise.withResolvers<void>();
    const get = site.store.get.bind(site.store);
    site.store.get = (id) => {
      fetchedCount++;
      started.resolve();
      return get(id);
    };
    const ids = idsOf(maker.primes.map((prime) => prime.id));
    const socket = await site.connect();
    socket.pause();
    socket.write(
      `POST ${paths.readPrimes} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n` +
        `content-type: application/octet-stream\r\ncontent-length: ${ids.length}\r\n\r\n`,
    );
    socket.write(ids);
    await started.promise;
    for (let i = 0; i < 20; i++) assert.equal((await site.ask({ path: paths.checkIn, token })).status, 200);
    assert.ok(fetchedCount <= 32, `${fetchedCount} of 60 primes were fetched for a client that reads none`);
    socket.destroy();
  });
});

test.run();
