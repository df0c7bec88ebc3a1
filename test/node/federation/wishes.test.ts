/** Goal: what a majority has decided comes about once, whatever else is decided meanwhile. Method: whole sites in virtual time that are apart for a while. */
import assert from "node:assert/strict";
import { makeIdentity } from "#test/simulation/sim-identity.ts";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";
import { peopleOf } from "./people.ts";

const test = suite("wishes", { timeoutMs: 120_000 });

type Five = [FederationSite, FederationSite, FederationSite, FederationSite, FederationSite];
const hasMember = ({ federation }: FederationSite, siteId: string): boolean =>
  federation.parts.membership.roster!.members.some((member) => member.siteId === siteId);

test("of two changes that were put together at one moment both come about, though sites had noted the one that gave way", async () => {
  const world = await FederationWorld.of(5);
  const [one, two, between, four, five] = world.sites as Five;
  await world.run(HOUR_MS);
  const newcomers = ["heath", "moor"].map((name) => makeIdentity(name, 1).siteId) as [never, never];
  const admit = async ({ federation }: FederationSite, siteId: never): Promise<void> => {
    await federation.parts.wishes.make({ action: "admit", siteId });
    federation.rosterUpkeep.look();
  };
  for (const siteId of newcomers) await admit(between, siteId);
  await world.run(HOUR_MS);
  world.crash(between);
  world.crash(four);
  world.crash(five);
  for (const site of [one, two]) await admit(site, newcomers[0]);
  await world.run(HOUR_MS);
  assert.ok(hasMember(one, newcomers[0]) && hasMember(two, newcomers[0]));
  world.crash(one);
  world.crash(two);
  const others: FederationSite[] = [];
  for (const { identity, store } of [four, five]) others.push(await world.start(identity, store));
  for (const site of others) await admit(site, newcomers[1]);
  await world.run(HOUR_MS);
  for (const site of others) assert.ok(hasMember(site, newcomers[1]) && !hasMember(site, newcomers[0]));
  const all = [...others];
  for (const { identity, store } of [one, two, between]) all.push(await world.start(identity, store));
  await world.run(HOUR_MS);
  // Of six members four have to wish the other one: one more on each side.
  for (const site of [all[0]!, all[2]!]) for (const siteId of newcomers) await admit(site, siteId);
  await world.run(DAY_MS);
  for (const site of all) for (const siteId of newcomers) assert.ok(hasMember(site, siteId));
});

test("who was away while a site was expelled and admitted again wishes it out no more", async () => {
  const world = await FederationWorld.of(5);
  const [out, away, ...others] = world.sites as [FederationSite, FederationSite, ...FederationSite[]];
  const { siteId } = out.identity;
  await world.run(HOUR_MS);
  await peopleOf(away, world).wish("remove", siteId);
  await world.run(HOUR_MS);
  world.crash(away);
  for (const change of ["remove", "admit"] as const) {
    for (const site of others) await peopleOf(site, world).wish(change, siteId);
    await world.run(HOUR_MS);
    for (const site of others) assert.equal(hasMember(site, siteId), change === "admit");
  }
  const back = await world.start(away.identity, away.store);
  await world.run(HOUR_MS);
  assert.ok(hasMember(back, siteId));
  assert.equal(
    peopleOf(back, world)
      .members()
      .find(({ site }) => site === siteId)!.wish,
    undefined,
  );
  assert.deepEqual(back.federation.parts.ledger.statements(away.identity.siteId, "consent"), []);
});

test.run();
