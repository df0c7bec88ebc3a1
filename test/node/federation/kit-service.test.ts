/**
 * Goal: what a site has ready for the kit that it asks for is not lost once that kit may be the only one that brings the site back. Method: whole
 * sites in virtual time, up to the end of the lock and beyond it.
 */
import assert from "node:assert/strict";
import { KitService } from "#node/federation/kit-service.ts";
import { signKitObjection } from "#protocol/kit-objection.ts";
import { type RecoveryLink, majorityLink, parseMajorityLink } from "#protocol/recovery-chain.ts";
import { newKit } from "#test/support/lost-kit.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, FederationWorld } from "./federation-world.ts";
import type { FederationSite } from "./federation-site.ts";

const test = suite("kit service", { timeoutMs: 240_000 });

interface Asked {
  readonly world: FederationWorld;
  readonly lost: FederationSite;

  readonly others: readonly FederationSite[];
  readonly kits: KitService;
  readonly link: RecoveryLink;
  /** Whether what lies ready for the new kit was thrown away. */
  readonly isRemoved: () => boolean;
}

/** The first of three sites has asked, and the others' people approve. */
async function asked(): Promise<Asked> {
  const world = await FederationWorld.of(3);
  await world.run(DAY_MS / 4);
  const [lost, one, other] = world.sites as [FederationSite, FederationSite, FederationSite];
  const { siteId, log } = lost.identity;
  const link = parseMajorityLink(majorityLink({ siteId, number: 2, key: newKit(1).publicKey, logs: [log.id] }));
  let isRemoved = false;
  const requestedKit = {
    read: async () => ({ link, readPrivateKey: Buffer.alloc(32, 9), formerKeysState: Buffer.from("former keys") }),
    remove: async () => void (isRemoved = true),
  };
  const kits = new KitService({ federation: lost.federation, clock: world.time.clock, requestedKit });
  await kits.ask();
  for (const { federation } of [one, other])
    await federation.parts.entries.write({ kind: "kit-approval", site: siteId, link: Buffer.from(link.hash, "hex") });
  return { world, lost, others: [one, other], kits, link, isRemoved: () => isRemoved };
}

const request = ({ lost }: Asked): unknown =>
  lost.federation.parts.ledger.statement(lost.identity.siteId, "kit-request", "");

async function refusesAll(all: Asked): Promise<void> {
  const { kits } = all;
  for (const again of [() => kits.logs(), () => kits.ask(), () => kits.cancel()])
    await assert.rejects(again, { code: "kit-agreed" });
  assert.equal(all.isRemoved(), false);
  assert.ok(request(all), "and the ledger has what the new kit needs");
}

test("before the lock is over a site asks again or cancels, and afterwards it does neither", async () => {
  const all = await asked();
  const { world, lost, kits } = all;
  await world.run(44 * DAY_MS);
  await kits.logs();
  await kits.ask();
  await world.run(2 * DAY_MS);
  assert.ok(lost.federation.parts.ledger.recoveryKeys.isNewest(lost.identity.siteId, newKit(1).publicKey));
  await refusesAll(all);
});

test("nor when the lock is over and the members' machines are down, unless the former kit objects", async () => {
  const all = await asked();
  const { world, lost, others, kits, link } = all;
  await world.run(DAY_MS);
  for (const site of others) world.crash(site);
  await world.run(45 * DAY_MS);
  assert.deepEqual(lost.federation.parts.ledger.recoveryKeys.chainOf(lost.identity.siteId), []);
  await refusesAll(all);
  await kits.object(lost.identity.siteId, signKitObjection(link.hash, lost.identity.recoverySeed));
  await kits.cancel();
  assert.equal(all.isRemoved(), true);
  assert.equal(request(all), undefined);
});

test("a site cancels before that", async () => {
  const all = await asked();
  await all.world.run(DAY_MS);
  await all.kits.cancel();
  assert.equal(all.isRemoved(), true);
  assert.equal(request(all), undefined);
});

test.run();
