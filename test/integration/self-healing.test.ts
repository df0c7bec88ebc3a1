/**
 * Goal: whatever a site's disk loses comes back by itself from the other sites, byte by byte, its own and what it keeps for others; and a site
 * that cannot go on ends, so that it is started again. Method: real processes on the loopback interface and the commands that people give; the
 * tests follow each other.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { keyStream } from "#test/bench/generated-content.ts";
import { readableOf } from "#test/demo/demo-federation.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { damageKept } from "#test/demo/wrong-disk.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { count } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { federate, statusOf, until, untilSafe } from "./federated-sites.ts";

const test = suite("self-healing of a site", { timeoutMs: 240_000 });
const end = new AbortController();
let scratch = "";
let content = "";
let restoresCount = 0;
let sites: DemoSite[] = [];
let hit: DemoSite;
let ids: SiteId[] = [];
/** What the site that is hit keeps, by owner. */
let kept: ReadonlyMap<PrimeId, Buffer>[] = [];

test.before(async () => {
  scratch = await scratchDirectory("self-healing");
  sites = ["Aldein", "Brixen", "Corvara"].map(
    (name) => new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined }),
  );
  hit = sites[2]!;
  await federate(sites);
  content = join(scratch, "content");
  await mkdir(join(content, "deep"), { recursive: true });
  for (let file = 0; file < 40; file++)
    await writeFile(join(content, file % 2 === 0 ? "deep" : "", `${file}`), keyStream(`file ${file}`, 90_000));
  await writeFile(join(content, "large"), keyStream("large", 12_000_000));
  for (const site of [sites[0]!, hit]) {
    await site.enrolAgent();
    await site.backUp([content]);
    await untilSafe(site, 1);
  }
  ids = await Promise.all(sites.map(async (site) => (await statusOf(site)).site));
  await hit.stop();
  kept = await keptByHit();
  assert.ok(kept[0]!.size > 5 && kept[2]!.size > 5);
  await hit.start();
});
test.after(async () => {
  await Promise.all(sites.map((site) => site.stop()));
});

/** All that it keeps, while it does not run. */
async function keptByHit(): Promise<ReadonlyMap<PrimeId, Buffer>[]> {
  const found: ReadonlyMap<PrimeId, Buffer>[] = [];
  for (const owner of ids) found.push(await readableOf(hit, owner));
  return found;
}

const damagedCount = async (): Promise<number> => (await hit.call("stats", {})).store.quarantinedCount;

/** Heals, is read again, and is stopped, compared and started. */
async function assertHeals(): Promise<void> {
  await until("everything is back", async () => {
    const { broken } = await hit.command<{ broken: unknown[] }>(["site", "scrub", "--now"]);
    await Promise.all(sites.map((site) => site.call("federationSend", {})));
    return broken.length === 0 && (await damagedCount()) === 0 && (await hasAll());
  });
  await hit.stop();
  const found = await keptByHit();
  for (const [at, primes] of kept.entries())
    for (const [id, stored] of primes)
      assert.ok(found[at]!.get(id)?.equals(stored) === true, `a prime of ${sites[at]!.name} is not what it was`);
  await hit.start();
  await hit.command(["site", "check", "--read-data"]);
  await assertRestores();
}

async function assertRestores(): Promise<void> {
  const target = join(scratch, `restored-${restoresCount++}`);
  const { failed } = await hit.agentCommand<{ failed: unknown[] }>(["restore", "latest", "--to", target]);
  assert.deepEqual(failed, []);
  assert.deepEqual(treeDifferences(content, join(target, content)), []);
}

/** Of others, as many as before. */
async function hasAll(): Promise<boolean> {
  const { kept: now } = await statusOf(hit);
  return kept.every(
    (primes, at) => at === 2 || (now.find(({ owner }) => owner === ids[at])?.count ?? 0) >= primes.size,
  );
}

test("primes that are damaged on the disk are found by the scrub and come back, its own and others', those that a restore needs at once", async () => {
  await Promise.all(sites.map((site) => site.stop()));
  assert.ok((await damageKept(hit, ids)) > 5);
  await hit.start();
  await hit.command(["site", "scrub", "--now"]);
  assert.ok((await damagedCount()) > 5);
  await Promise.all(sites.slice(0, 2).map((site) => site.start()));
  await assertRestores();
  await assertHeals();
});

test("a site whose files are removed while it runs ends with an error, and started again gets all of it back", async () => {
  await hit.command(["site", "enrol-token", "--name", "written"]);
  const ended = assert.rejects(hit.ended(), (error) => isCostorError(error, "store-failed"));
  const segments = join(hit.data, "store", "segments");
  for (const name of await readdir(segments)) await rm(join(segments, name));
  await assert.rejects(hit.command(["site", "enrol-token", "--name", "lost"]));
  await ended;
  await hit.start();
  await assertHeals();
});

test("a site whose store is gone makes no other site, waits for others, and gets everything back, whatever ends it meanwhile", async () => {
  await hit.stop();
  await Promise.all(sites.slice(0, 2).map((site) => site.stop()));
  await rm(join(hit.data, "store"), { recursive: true });
  const starting = hit.start();
  starting.catch(() => undefined);
  await delay(1_000);
  await Promise.all(sites.slice(0, 2).map((site) => site.start()));
  await starting;
  assert.equal((await statusOf(hit)).site, ids[2]);
  await assertHeals();
  await hit.backUp([content]);
  await untilSafe(hit, 2);
});

test("ended at any step of that, it goes on", async () => {
  for (const step of ["records-here", "known"].slice(0, count(1, 2))) {
    await hit.stop();
    await rm(join(hit.data, "store"), { recursive: true });
    await assert.rejects(hit.start({ COSTOR_FAILPOINT: `lost-store.${step}` }));
    await hit.start();
    await assertHeals();
  }
});

test.run();
