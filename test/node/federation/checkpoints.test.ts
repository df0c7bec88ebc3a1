/**
 * Goal: a checkpoint is reached when everything of before is proven elsewhere, and not a moment sooner; a forecast tells what is true of the
 * copies. Method: whole sites in memory, in virtual time; holders that are gone, or have lost what they say to have.
 */
import assert from "node:assert/strict";
import { LinkSpeeds } from "#node/federation/link-speeds.ts";
import { reportWhatIf } from "#node/federation/what-if-report.ts";
import type { Statement } from "#ledger/statements.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";

const test = suite("checkpoints", { timeoutMs: 120_000 });

const newest = ({ federation }: FederationSite) => federation.parts.checkpoints.list()[0]!;

test("a checkpoint is reached once copies are safe and holders have proven them, and survives a restart", async () => {
  const world = await FederationWorld.of(3);
  const [site] = world.sites as [FederationSite];
  await site.backUp("first", 20);
  await site.federation.parts.checkpoints.make();
  assert.equal(newest(site).reachedMs, undefined);
  await world.run(6 * HOUR_MS);
  const reached = newest(site);
  assert.ok(reached.reachedMs! > reached.madeMs);
  world.crash(site);
  assert.deepEqual(newest(await world.start(site.identity, site.store)), reached);
});

test("a checkpoint waits while a holder is not reached, and for one that was made later", async () => {
  const world = await FederationWorld.of(3);
  const [site, other] = world.sites as [FederationSite, FederationSite];
  world.crash(other);
  await site.backUp("first", 20);
  await site.federation.parts.checkpoints.make();
  await world.run(12 * HOUR_MS);
  assert.equal(newest(site).reachedMs, undefined);
  await world.start(other.identity, other.store);
  await world.run(DAY_MS);
  assert.notEqual(newest(site).reachedMs, undefined);
});

test("a checkpoint of a site that has nothing is reached at once", async () => {
  const world = await FederationWorld.of(1);
  const [site] = world.sites as [FederationSite];
  await site.federation.parts.checkpoints.make();
  await site.federation.parts.checkpoints.look(new AbortController().signal);
  assert.notEqual(newest(site).reachedMs, undefined);
});

test("any site forecasts that a burnt site comes back whole, and not when its holders burn too", async () => {
  const world = await FederationWorld.of(4);
  const [site, other] = world.sites as [FederationSite, FederationSite];
  await site.backUp("first", 40);
  await world.run(6 * HOUR_MS);
  const { ledger, membership, replication } = other.federation.parts;
  const sites = membership.sites();
  const components = { ledger, placement: replication.placement, sites };
  const { siteId } = site.identity;
  const [alone] = reportWhatIf(components, new Set([siteId])).burnt;
  assert.deepEqual([alone!.snapshots, alone!.lostBytes, alone!.newestSnapshots], [1, 0, 1]);
  assert.equal(alone!.bytes, 40 * 100);
  const holders = site.federation.parts.copies.slices()[0]!.copies.map((copy) => copy.holder);
  assert.equal(holders.length, 2);
  const [lost] = reportWhatIf(components, new Set([siteId, ...holders])).burnt.filter((one) => one.siteId === siteId);
  assert.ok(lost!.lostSlices.includes(0) && lost!.lostBytes > 0 && lost!.snapshots === 0);
});

const MIB = 1024 * 1024;
const holder = sampleSiteId("holder");

function measuredSpeeds() {
  const written: Statement[] = [];
  let nowMs = 0;
  const speeds = new LinkSpeeds(
    {
      clock: { now: () => nowMs, elapsedMs: () => nowMs },
      ledger: { statement: () => (written.length === 0 ? undefined : ({ statement: written.at(-1) } as never)) },
      entries: { write: async (statement) => void written.push(statement) },
      onFailure: (error) => assert.fail(String(error)),
    },
    { self: sampleSiteId("owner") },
  );
  const run = (bytes: number, durationMs: number): void => {
    for (const keptBytes of [MIB, MIB + bytes]) {
      const progress = { slice: 0, missingCount: 1, keptCount: 1, keptBytes };
      speeds.follow({ event: "run-progress", holder, progress });
      nowMs += keptBytes === MIB ? durationMs : 0;
    }
    speeds.follow({ event: "run-ended", holder, reports: [] });
  };
  return { run, said: () => written.map((one) => (one.kind === "link" ? one.bytesPerSecond : undefined)) };
}

test("the speed of a line is said when much went over it, and again only when it is another one", () => {
  const { run, said } = measuredSpeeds();
  run(MIB, 1000);
  assert.deepEqual(said(), []);
  run(20 * MIB, 2000);
  assert.deepEqual(said(), [10 * MIB]);
  run(20 * MIB, 2500);
  assert.deepEqual(said(), [10 * MIB]);
  run(20 * MIB, 4000);
  assert.deepEqual(said(), [10 * MIB, 5 * MIB]);
});

test.run();
