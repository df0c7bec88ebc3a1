/**
 * Goal: a federation that only runs does what it has to and writes nothing else, and each site forgets what was withdrawn long ago.
 * Method: whole sites in memory, weeks of virtual time.
 */
import assert from "node:assert/strict";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";
import type { FederationSite } from "./federation-site.ts";

const test = suite("federation", { timeoutMs: 120_000 });

/** Keys of the ledger in the site's store. */
const entryKeys = async ({ store }: FederationSite): Promise<string[]> => {
  const all = await Array.fromAsync(new LedgerFacts({ store }).all());
  return all.map(({ key }) => key).filter((key) => key.startsWith("entry/"));
};

const faultsOf = ({ events }: FederationSite) => events.filter(({ event }) => event === "fault" || event === "put-off");

test("what was withdrawn is forgotten after the lock, by the site's own clock", async () => {
  const { sites, ...world } = await FederationWorld.of(1);
  const [site] = sites as [FederationSite];
  const { entries, ledger } = site.federation.parts;
  await entries.write({ kind: "placement", slice: 1, holders: [] });
  await entries.withdraw("placement", "1");
  const before = (await entryKeys(site)).length;
  assert.ok(ledger.logs()[0]!.hidden.count > 0);
  void world;
});

test("an idle federation writes the results of audits and nothing else", async () => {
  const world = await FederationWorld.of(3);
  for (const site of world.sites) await site.backUp("first", 40);
  await world.run(2 * DAY_MS);
  const kindsBefore = await kindsOf(world.sites[0]!);
  await world.run(7 * DAY_MS);
  const kinds = await kindsOf(world.sites[0]!);
  console.log(kindsBefore, kinds, HOUR_MS);
  for (const site of world.sites) console.log(faultsOf(site));
});

/** How many entries of each kind all sites have ever written, in force or not. */
async function kindsOf(site: FederationSite): Promise<Record<string, number>> {
  const { parseEntry } = await import("#ledger/entry.ts");
  const counts: Record<string, number> = {};
  for await (const { key, value } of new LedgerFacts({ store: site.store }).all()) {
    if (!key.startsWith("entry/")) continue;
    const { kind } = parseEntry(value);
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

test.run();
