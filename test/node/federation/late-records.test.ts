/**
 * Goal: what only one site was told of a site that burnt comes back to the next machine also when that site comes after all others. Method: whole sites
 * in virtual time.
 */
import assert from "node:assert/strict";
import { type HolderAwayComponents, isHolderAway } from "#node/federation/late-records.ts";
import { deletionDoubt } from "#node/federation/deletion-doubt.ts";
import { AgentRegistry, readAgents } from "#node/site/agent-registry.ts";
import { unreadSnapshots } from "#node/site/unread-snapshots.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { type FederationSite, nextMachineOf } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";

const test = suite("late records");
const agent = parseAgentId(makeUuidV7(1));
const [early, late] = [2, 3].map((at) => `${agent}/${parseSnapshotId(makeUuidV7(at))}`) as [string, string];

async function tellSnapshot({ store, federation }: FederationSite, key: string): Promise<void> {
  await store.appendFacts([{ kind: "snapshot", key, value: encodeCbor({ text: key }) }]);
  await federation.siteChanged("snapshot", key);
}

test("a snapshot and a machine of which only one site was told, that comes a day late, are known then, and retention goes on", async () => {
  const world = await FederationWorld.of(4);
  const [owner, one, two, last] = world.sites as [FederationSite, FederationSite, FederationSite, FederationSite];
  const cut = (from: FederationSite, ...to: readonly FederationSite[]): void => {
    for (const { identity } of to) world.network.cut(from.identity.peerKey, identity.peerKey);
  };
  await world.run(HOUR_MS);
  await tellSnapshot(owner, early);
  await world.run(HOUR_MS);
  for (const site of [owner, last]) cut(site, one, two);
  const { fact } = (await AgentRegistry.open(owner.store)).prepare({
    ...{ id: agent, name: "office", hostName: "office", enrolledMs: 5 },
  });
  await owner.store.appendFacts([fact]);
  await owner.federation.siteChanged("agent", agent);
  await tellSnapshot(owner, late);
  await world.run(HOUR_MS);
  world.crash(owner);
  const next = await world.start(nextMachineOf(0));
  cut(next, last);
  const known = async (): Promise<Set<string>> =>
    new Set((await Array.fromAsync(next.store.facts("snapshot"))).map(({ key }) => key));
  await world.run(5 * HOUR_MS);
  assert.deepEqual([await known(), next.federation.blocking()], [new Set([early]), []]);
  world.network.mendAll();
  await world.run(DAY_MS);
  assert.deepEqual(await known(), new Set([early, late]));
  assert.equal(await deletionDoubt(next.federation, known), undefined);
  const agents = await Array.fromAsync(readAgents(next.store));
  assert.deepEqual(
    agents.map(({ id, revokedMs }) => [id, revokedMs]),
    [[agent, 5]],
    "it is to be enrolled again: somebody else may have the former machine",
  );
  assert.deepEqual(await unreadSnapshots(next.store), []);
});

test("nothing is judged while a holder is off that may be back, from the first minute on, and nobody waits for one that is out or gone", async () => {
  const world = await FederationWorld.of(3);
  const [owner, holder] = world.sites as [FederationSite, FederationSite];
  await owner.backUp("first", 40);
  await world.run(6 * HOUR_MS);
  const { ledger, membership, transport: peers, replication } = owner.federation.parts;
  const { silence } = replication;
  const { siteId } = owner.identity;
  const isAway = (changes: Partial<HolderAwayComponents> = {}): boolean =>
    isHolderAway({ ledger, membership, peers, silence, ...changes }, { siteId });
  assert.ok(!isAway());
  world.crash(holder);
  await world.run(HOUR_MS / 60);
  assert.equal(silence.of(holder.identity.siteId), 0, "which is counted each quarter of an hour");
  assert.ok(isAway());
  assert.ok(!isAway({ silence: { of: () => 4 * DAY_MS } }));
  const sites = membership.sites().filter((site) => site !== holder.identity.siteId);
  assert.ok(!isAway({ membership: { sites: () => sites, siteOfPeer: (peer) => membership.siteOfPeer(peer) } }));
});

test.run();
