/** Goal: a copy counts only when its holder's word and the owner's agree and nothing tells against it, and *safe* means what it says. Method: one case a rule. */
import assert from "node:assert/strict";
import {
  type HolderState,
  type LiveSet,
  type SliceState,
  copiesOf,
  safeGenerationOf,
  safeSnapshotsOf,
  snapshotStatusOf,
} from "#ledger/copies.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("copies");

const hash = (text: string): string => text.repeat(64).slice(0, 64);
const liveSet: LiveSet = { generation: 5, count: 10, bytes: 100, hash: hash("5"), snapshots: 9 };
const current = { generation: 5, hash: hash("5"), snapshots: 9, bytes: 900 };
const earlier = { generation: 4, hash: hash("4"), snapshots: 7, bytes: 700 };

const holder = (name: string, changes: Partial<HolderState> = {}): HolderState => ({
  siteId: sampleSiteId(name),
  isGuest: false,
  domain: name,
  receipt: current,
  hasLoss: false,
  failsAudits: false,
  ...changes,
});

const slice = (...holders: HolderState[]): SliceState => ({ liveSet, holders });
const init = { copiesCount: 2, domainsCount: 3 };

test("a receipt for the newest live set counts, and one for an earlier generation counts for that one", () => {
  const copies = copiesOf(slice(holder("a"), holder("b", { receipt: earlier })));
  assert.deepEqual(
    copies.map(({ generation, snapshots }) => [generation, snapshots]),
    [
      [5, 9],
      [4, 7],
    ],
  );
});

for (const [what, changes] of Object.entries<Partial<HolderState>>({
  "without a receipt": { receipt: undefined },
  "with another hash at the newest generation": { receipt: { ...current, hash: hash("6") } },
  "of a generation that the owner has not signed": { receipt: { ...current, generation: 6 } },
  "that lost some of it": { hasLoss: true },
  "that fails audits": { failsAudits: true },
}))
  test(`a copy ${what} does not count`, () => {
    assert.deepEqual(copiesOf(slice(holder("a", changes))), []);
    assert.equal(safeGenerationOf(slice(holder("a", changes), holder("b")), init), 0);
  });

test("nothing counts before the owner has signed a live set", () => {
  assert.deepEqual(copiesOf({ liveSet: undefined, holders: [holder("a")] }), []);
});

test("a slice is safe at the generation that two holders have", () => {
  const both = slice(holder("a"), holder("b", { receipt: earlier }));
  assert.equal(safeGenerationOf(both, init), 4);
  assert.equal(safeGenerationOf(slice(holder("a"), holder("b"), holder("c", { receipt: earlier })), init), 5);
  assert.equal(safeGenerationOf(slice(holder("a")), init), 0);
});

test("two guests are not two copies, and a guest with a member is", () => {
  const guest = (name: string) => holder(name, { isGuest: true });
  assert.equal(safeGenerationOf(slice(guest("g"), guest("h")), init), 0);
  assert.equal(safeGenerationOf(slice(guest("g"), holder("b")), init), 5);
});

test("two copies in one domain are safe only where there is one domain", () => {
  const together = slice(holder("a", { domain: "x" }), holder("b", { domain: "x" }));
  assert.equal(safeGenerationOf(together, { copiesCount: 2, domainsCount: 1 }), 5);
  assert.equal(safeGenerationOf(together, init), 0);
});

test("the guest that counts is the one in another domain", () => {
  const guests = [holder("g", { isGuest: true, domain: "a" }), holder("h", { isGuest: true, domain: "h" })];
  assert.equal(safeGenerationOf(slice(holder("a"), ...guests), init), 5);
});

test("a snapshot is safe when all slices are, and tells who is behind", () => {
  const good = slice(holder("a"), holder("b"));
  const behind = slice(holder("a"), holder("b", { receipt: earlier }));
  const table = [["a", "b"].map(sampleSiteId), ["a", "b"].map(sampleSiteId)];
  assert.equal(safeSnapshotsOf([good, behind], init), 7);
  assert.equal(snapshotStatusOf(7, [good, behind], table, init).state, "safe");
  const status = snapshotStatusOf(8, [good, behind], table, init);
  assert.deepEqual(status, {
    state: "stored",
    copiesCount: 1,
    behind: [{ slice: 1, holder: sampleSiteId("b") }],
  });
});

test("a receipt claims no snapshot that the owner's newest live set does not cover", () => {
  const boasting = { receipt: { ...earlier, snapshots: 1000 } };
  assert.equal(safeSnapshotsOf([slice(holder("a", boasting), holder("b", boasting))], init), 9);
});

test.run();
