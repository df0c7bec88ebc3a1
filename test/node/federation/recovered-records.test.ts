/** Goal: after a takeover a new machine takes nothing on trust that was said for its site: no state, no snapshot, no enrolment, no read key. */
import assert from "node:assert/strict";
import { recoverRecords } from "#node/federation/recovered-records.ts";
import { readAgents } from "#node/site/agent-registry.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { deriveReadKey } from "#protocol/keys.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import { kitRoot, toldSite } from "#test/support/told-site.ts";

const test = suite("recovered records");
const agent = parseAgentId(makeUuidV7(1));

async function world() {
  const { ledger, siteId, tell } = await toldSite(agent);
  await tell({ kind: "state", part: "retention/policies" }, encodeCbor({ policies: {} }));
  await tell({ kind: "state", part: "retention/second-person" }, encodeCbor({ person: null }));
  const store = createMemoryStore();
  const recover = (isTakenOver: boolean) =>
    recoverRecords({ store, ledger, now: () => 9 }, { siteId, kitRoot, isTakenOver });
  return { store, tell, recover };
}

test("the machines of a site that is recovered stay enrolled, and its policies count", async () => {
  const { store, recover } = await world();
  const { agentsCount, readGeneration, formerReadKeys } = await recover(false);
  assert.deepEqual([agentsCount, readGeneration, formerReadKeys.length], [1, 1, 0]);
  for (const key of ["policies", "second-person"]) assert.notEqual(await store.fact("retention", key), undefined);
});

test("after a takeover they are revoked, policies are not taken, and the read key is the next one", async () => {
  const { store, recover, tell } = await world();
  await tell({ kind: "state", part: "keys" }, Buffer.from("whatever a thief says"));
  const { agentsCount, readGeneration, formerReadKeys } = await recover(true);
  assert.deepEqual([agentsCount, readGeneration], [0, 2]);
  assert.deepEqual(
    formerReadKeys.map(({ privateKey }) => Buffer.from(privateKey).toString("hex")),
    [Buffer.from(deriveReadKey(kitRoot, 1).privateKey).toString("hex")],
  );
  const agents = await Array.fromAsync(readAgents(store));
  assert.deepEqual(
    agents.map(({ id, revokedMs }) => [id, revokedMs]),
    [[agent, 5]],
  );
  for (const key of ["policies", "second-person"]) assert.equal(await store.fact("retention", key), undefined);
});

test("junk that a thief has said for the site, sealed as it ought to be or not, does not stop its recovery", async () => {
  for (const isTakenOver of [true, false]) {
    const { recover, tell } = await world();
    const other = parseAgentId(makeUuidV7(2));
    await tell({ kind: "agent", agent: other }, Buffer.from("no record"));
    await tell({ kind: "state", part: "identity" }, encodeCbor({ siteName: 7 }));
    await tell({ kind: "snapshot", agent, snapshot: parseSnapshotId(makeUuidV7(3)) }, encodeCbor({ junk: true }));
    const { agentsCount, brokenCount, identityState } = await recover(isTakenOver);
    assert.deepEqual([agentsCount, identityState], [isTakenOver ? 0 : 1, undefined]);
    // After a takeover snapshots come later.
    assert.equal(brokenCount, isTakenOver ? 2 : 3);
  }
});

test.run();
