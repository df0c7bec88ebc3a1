/** Goal: a federation hears of a new kit by itself, and whoever acts as the site by the former one is out. Method: whole sites in virtual time. */
import assert from "node:assert/strict";
import { openLog } from "#ledger/entry.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { signRecoveryLink } from "#protocol/recovery-chain.ts";
import { suite } from "#test/support/suite.ts";
import { nextMachineOf } from "./federation-site.ts";
import { FederationWorld, HOUR_MS } from "./federation-world.ts";

const test = suite("replaced kits", { timeoutMs: 240_000 });

test("all sites hear of a new kit, the site goes on in its log, and a machine of the former kit stays out", async () => {
  const world = await FederationWorld.of(3);
  await world.run(HOUR_MS);
  const [one, other, third] = world.sites as [
    (typeof world.sites)[0],
    (typeof world.sites)[0],
    (typeof world.sites)[0],
  ];
  const { siteId, log } = one.identity;
  const thief = await world.start(nextMachineOf(0));
  await world.run(HOUR_MS);
  assert.equal(other.federation.parts.ledger.currentLog(siteId)!.log.certificate.epoch, 2, "the thief is the site");
  world.crash(one);
  const fresh = deriveRecoveryKey(Buffer.alloc(32, 9));
  const link = signRecoveryLink({ siteId, number: 2, key: fresh.publicKey, logs: [log.id] }, one.identity.recoverySeed);
  const certificate = openLog(signEpochCertificate(log.certificate, fresh.seed, [link]));
  assert.equal(certificate.id, log.id);
  const again = await world.start({ ...one.identity, log: certificate }, one.store);
  await world.run(3 * HOUR_MS);
  for (const { federation } of [again, other, third]) {
    const { ledger, membership } = federation.parts;
    assert.equal(ledger.currentLog(siteId)!.log.id, log.id);
    assert.equal(ledger.recoveryKeys.chainOf(siteId).length, 1);
    assert.equal(membership.peerMayConnect(thief.identity.peerKey), false);
    assert.equal(ledger.digest(), other.federation.parts.ledger.digest());
  }
  assert.equal(again.federation.parts.ownLog.suspicion, undefined);
  assert.equal(other.federation.parts.ledger.statement(siteId, "recovery-key", "")?.statement.site, siteId);
});

test.run();
