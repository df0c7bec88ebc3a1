/** Goal: an entry that comes with each slice of a run is offered once, and read right whichever comes. Method: a ledger that counts. */
import assert from "node:assert/strict";
import { OfferedEntries } from "#node/replication/offered-entries.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("offered entries");

test("what comes again in other bytes of memory is not offered again, and each is answered as itself", async () => {
  const author = new LedgerAuthor("one");
  const [naming, live, newer] = [0, 1, 2].map((slice) => author.say({ kind: "placement", slice, holders: [] }));
  const offers: Uint8Array[] = [];
  const offered = new OfferedEntries({
    ledger: { offer: async ({ entries = [] }) => (offers.push(...entries), entries.map(() => "known" as const)) },
  });
  for (let round = 0; round < 3; round++)
    for (const entry of [naming!, live!]) {
      const bytes = Buffer.from(entry);
      const { seq, logId, statements } = await offered.offer(bytes);
      bytes.fill(0);
      assert.deepEqual([seq, logId], [entry === naming ? 0 : 1, author.log.id]);
      assert.deepEqual(statements, [{ kind: "placement", slice: seq, holders: [] }]);
    }
  assert.equal(offers.length, 2);
  assert.equal((await offered.offer(newer!)).seq, 2);
  assert.equal((await offered.offer(newer!)).seq, 2);
  assert.equal(offers.length, 3);
});

test("what was refused is offered again", async () => {
  const entry = new LedgerAuthor("one").say({ kind: "placement", slice: 1, holders: [] });
  let count = 0;
  const offer = async (): Promise<never> => Promise.reject(new Error(`refused ${++count}`));
  const offered = new OfferedEntries({ ledger: { offer } });
  await assert.rejects(offered.offer(entry), /refused 1/);
  await assert.rejects(offered.offer(entry), /refused 2/);
});

test.run();
