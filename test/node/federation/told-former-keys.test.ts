/** Goal: the new kit and the ledger open what former kits opened. Method: told by a site, read with the keys of each kit. */
import assert from "node:assert/strict";
import { SiteStatements } from "#node/federation/site-statements.ts";
import { toldFormerKeys } from "#node/federation/told-former-keys.ts";
import { formerKeysState } from "#node/site/former-keys.ts";
import { deriveReadKey } from "#protocol/keys.ts";
import { sealToReadKey } from "#protocol/read-sealing.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { Replica } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("told former keys");

const [former, now] = [1, 2].map((kit) => deriveReadKey(Buffer.alloc(32, kit), kit));
const scopeSecret = Buffer.alloc(32, 7);

async function siteWith(formerReadKeys: { generation: number; privateKey: Uint8Array }[]): Promise<Replica> {
  const replica = await Replica.found("site");
  const statements = await SiteStatements.open(
    {
      store: createMemoryStore(),
      entries: { write: (statement) => replica.own.write(statement), withdraw: async () => undefined },
      seal: (plain, context) => sealToReadKey(plain, now!.publicKey, context),
    },
    {
      siteId: replica.siteId,
      identityState: Buffer.from("identity"),
      formerKeysState: formerKeysState({ scopeSecret, formerReadKeys }),
    },
  );
  await statements.publish();
  await statements.publish();
  return replica;
}

test("with the new kit's read key the scope secret and the former read keys are there, and with no other key", async () => {
  const { ledger, siteId } = await siteWith([former!]);
  const told = await toldFormerKeys({ ledger }, { siteId, readKeys: [former!.privateKey, now!.privateKey] });
  assert.deepEqual(Buffer.from(told!.scopeSecret), scopeSecret);
  assert.deepEqual(Buffer.from(told!.readKeys[0]!.privateKey), former!.privateKey);
  assert.equal(told!.readKeys[0]!.generation, 1);
  assert.equal(await toldFormerKeys({ ledger }, { siteId, readKeys: [former!.privateKey] }), undefined);
  assert.equal(ledger.statements(siteId, "state").length, 2, "told once");
});

test("a site with its first kit tells nothing of the kind", async () => {
  const { ledger, siteId } = await siteWith([]);
  assert.equal(await toldFormerKeys({ ledger }, { siteId, readKeys: [now!.privateKey] }), undefined);
  assert.equal(ledger.statements(siteId, "state").length, 1);
});

test.run();
