/** Goal: the cache gives only verified bytes, spares the site, stays within its bound and never stands in the way. */
import assert from "node:assert/strict";
import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TreeCache } from "#agent/query/tree-cache.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("tree cache");
const primes = Array.from({ length: 20 }, (_, index) => Buffer.alloc(1000, index));
const ids = primes.map(primeIdOf);

function open(
  directory: string,
  init: { mostBytes?: number; nowMs?: () => number; send?: (id: PrimeId) => Uint8Array } = {},
) {
  const fetched: PrimeId[] = [];
  const fetch = async (id: PrimeId): Promise<Uint8Array> => {
    fetched.push(id);
    return init.send?.(id) ?? primes[ids.indexOf(id)]!;
  };
  return {
    fetched,
    cache: new TreeCache({ fetch, nowMs: init.nowMs ?? Date.now }, { directory, mostBytes: init.mostBytes }),
  };
}

test("what was fetched once is not fetched again, by another process either, and is readable for its owner only", async () => {
  const directory = await scratchDirectory("tree-cache");
  const first = open(directory);
  for (let round = 0; round < 3; round++) assert.ok(primes[0]!.equals(await first.cache.fetchPrime(ids[0]!)));
  const second = open(directory);
  assert.ok(primes[0]!.equals(await second.cache.fetchPrime(ids[0]!)));
  assert.deepEqual([first.fetched.length, second.fetched.length], [1, 0]);
  assert.equal((await stat(join(directory, ids[0]!.slice(0, 2), ids[0]!))).mode & 0o777, 0o600);
});

test("a damaged file is fetched anew and made good", async () => {
  const directory = await scratchDirectory("tree-cache");
  const { cache, fetched } = open(directory);
  const file = join(directory, ids[1]!.slice(0, 2), ids[1]!);
  await cache.fetchPrime(ids[1]!);
  for (const damaged of [Buffer.alloc(1000, 99), Buffer.alloc(0), primes[1]!.subarray(1)]) {
    await writeFile(file, damaged);
    assert.ok(primes[1]!.equals(await cache.fetchPrime(ids[1]!)));
    assert.ok(primes[1]!.equals(await readFile(file)));
  }
  assert.equal(fetched.length, 4);
});

test("bytes that the site sends under a wrong id are neither given nor kept", async () => {
  const directory = await scratchDirectory("tree-cache");
  const { cache } = open(directory, { send: () => primes[3]! });
  await assert.rejects(cache.fetchPrime(ids[2]!), { code: "prime-mismatch" });
  assert.deepEqual(await readdir(directory, { recursive: true }), []);
});

test("pruning keeps what was used last within the bound", async () => {
  const directory = await scratchDirectory("tree-cache");
  let nowMs = 1_700_000_000_000;
  const { cache, fetched } = open(directory, { mostBytes: 10_000, nowMs: () => (nowMs += 10_000) });
  for (const id of ids) {
    await cache.fetchPrime(id);
    // Used again, which gives it the time of this clock.
    await cache.fetchPrime(id);
  }
  await cache.fetchPrime(ids[0]!);
  await cache[Symbol.asyncDispose]();
  const kept = (await readdir(directory, { recursive: true }))
    .map((name) => name.slice(3))
    .filter((name) => name !== "");
  assert.deepEqual(kept.sort(), [ids[0]!, ...ids.slice(13)].sort());
  assert.equal(fetched.length, 20);
});

test("a directory that cannot be written costs nothing but speed", async () => {
  const directory = await scratchDirectory("tree-cache");
  const { cache } = open(join(directory, "file", "below"));
  await writeFile(join(directory, "file"), "no directory");
  assert.ok(primes[4]!.equals(await cache.fetchPrime(ids[4]!)));
  // Root may write everywhere.
  if (process.geteuid?.() === 0) return;
  await chmod(directory, 0o500);
  const closed = open(join(directory, "closed"));
  assert.ok(primes[4]!.equals(await closed.cache.fetchPrime(ids[4]!)));
});

test.run();
