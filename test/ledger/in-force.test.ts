/** Goal: of entries with one subject the newest counts, whatever came first, across a site's logs, and after withdrawals. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { Admitted } from "#ledger/admission.ts";
import { compareLogs, parseEntry } from "#ledger/entry.ts";
import { Ledger } from "#ledger/ledger.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { entryOf } from "#ledger/statements.ts";
import { makeUuidV7, parseAgentId } from "#protocol/ids.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { count } from "#test/support/level.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("entries in force");

const openLedger = (store = new MemoryLedgerStore()): Promise<Ledger> =>
  Ledger.open({ store, speakers: { follow: () => undefined, lastAllowedSeq: () => Infinity, agreedLinks: () => [] } });
const placement = (slice: number, holders: LedgerAuthor[] = []) =>
  ({ kind: "placement", slice, holders: holders.map(({ siteId }) => siteId) }) as const;

test("the newest by the order of logs and then by seq is in force, whatever came first", async () => {
  const [former, current] = [new LedgerAuthor("one"), new LedgerAuthor("one", 2)];
  const certificates = [former.log.bytes, current.log.bytes];
  const entries = [0, 1, 0, 1, 1].map((slice) => former.say(placement(slice)));
  entries.push(current.say(placement(0)), former.say(placement(0)), current.say(placement(2)));
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray(entries, { minLength: entries.length }), async (order) => {
      const store = new MemoryLedgerStore();
      const ledger = await openLedger(store);
      await ledger.offer({ certificates, entries: order });
      for (const replica of [ledger, await openLedger(store)]) {
        const found = replica.statements(former.siteId, "placement").map(({ logId, seq, statement }) => ({
          slice: statement.slice,
          isCurrent: logId === current.log.id,
          seq,
        }));
        assert.deepEqual(
          found.sort((one, other) => one.slice - other.slice),
          [
            { slice: 0, isCurrent: true, seq: 0 },
            { slice: 1, isCurrent: false, seq: 4 },
            { slice: 2, isCurrent: true, seq: 1 },
          ],
        );
        assert.equal(replica.superseded(former.siteId).length, 5);
      }
    }),
    { numRuns: 50 },
  );
});

test("what a machine has said of its own disk is over with the site's next machine, and can be withdrawn", async () => {
  const [former, current] = [new LedgerAuthor("one"), new LedgerAuthor("one", 2)];
  const owner = new LedgerAuthor("owner").siteId;
  const set = { generation: 1, count: 0, bytes: 0, hash: "00".repeat(32), snapshots: 1 };
  const receipt = (slice: number) => ({ kind: "receipt", owner, slice, ...set }) as const;
  const entries = [
    former.say(receipt(0)),
    former.say(receipt(1)),
    former.say({ kind: "loss", owner, slice: 1, count: 1 }),
  ];
  entries.push(former.say(placement(0)));
  const store = new MemoryLedgerStore();
  const ledger = await openLedger(store);
  await ledger.offer({ certificates: [former.log.bytes], entries });
  assert.equal(ledger.statements(former.siteId, "receipt").length, 2);
  assert.equal(ledger.superseded(former.siteId).length, 0);
  await ledger.offer({ certificates: [current.log.bytes], entries: [current.say(receipt(1))] });
  for (const replica of [ledger, await openLedger(store)]) {
    assert.equal(replica.statement(former.siteId, "receipt", `${owner}/0`), undefined);
    assert.equal(replica.statement(former.siteId, "loss", `${owner}/1`), undefined);
    const [left, ...others] = replica.statements(former.siteId, "receipt");
    assert.deepEqual([left!.logId, left!.statement.slice, others], [current.log.id, 1, []]);
    assert.equal(replica.statement(former.siteId, "placement", "0")?.logId, former.log.id);
    assert.deepEqual(
      replica
        .superseded(former.siteId)
        .map(({ seq }) => seq)
        .sort(),
      [0, 1, 2],
    );
  }
});

test("when the newest is withdrawn, the one before it is in force again", async () => {
  const author = new LedgerAuthor("one");
  const ledger = await openLedger();
  await ledger.offer({
    certificates: [author.log.bytes],
    entries: [author.say(placement(1)), author.say(placement(1, [new LedgerAuthor("holder")]))],
  });
  assert.equal(ledger.statement(author.siteId, "placement", "1")?.seq, 1);
  await ledger.offer({ entries: [author.retire(author.log, [1, 1])] });
  assert.equal(ledger.statement(author.siteId, "placement", "1")?.seq, 0);
  await ledger.offer({ entries: [author.retire(author.log, [0, 1])] });
  assert.equal(ledger.statement(author.siteId, "placement", "1"), undefined);
  assert.deepEqual(ledger.statements(author.siteId, "placement"), []);
});

test("an entry that says nothing is kept and in force, and hides none that says something", async () => {
  const author = new LedgerAuthor("one");
  const ledger = await openLedger();
  const entries = [author.say(placement(1)), author.entry({ kind: "placement", data: { slice: 1 } })];
  await ledger.offer({ certificates: [author.log.bytes], entries });
  assert.deepEqual(ledger.currentLog(author.siteId)!.seqs(), [0, 1]);
  assert.equal(ledger.statement(author.siteId, "placement", "1")?.seq, 0);
});

test("what is kept up to date with each entry is what an opened ledger computes anew, and what a model says", async () => {
  const owner = new LedgerAuthor("owner").siteId;
  const receipt = (slice: number, generation: number) =>
    ({ kind: "receipt", owner, slice, generation, count: 1, bytes: 1, hash: "ab".repeat(32), snapshots: 1 }) as const;
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.array(fc.nat(2), { minLength: 1, maxLength: 3 }).map((slices) => ({ slices })) },
    { weight: 1, arbitrary: fc.nat(12).map((first) => ({ first })) },
  );
  const order = fc.infiniteStream(fc.nat());
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.boolean(), order, async (steps, later, picks) => {
      const authors = [new LedgerAuthor("one"), new LedgerAuthor("one", 2), new LedgerAuthor("two")];
      const said = new Map<string, { author: LedgerAuthor; seq: number; slices: number[] }>();
      const withdrawn = new Set<string>();
      const retired = new Map<LedgerAuthor, SeqRanges>();
      const entries = steps.map((next, at) => {
        const author = authors[at % authors.length]!;
        const seq = author.nextSeq;
        if ("first" in next) {
          // With all that its retires have withdrawn before: this one may withdraw those.
          const ranges = retired.get(author) ?? SeqRanges.empty();
          retired.set(author, ranges);
          ranges.add(next.first, next.first + 2);
          for (let gone = 0; gone < seq; gone++) if (ranges.has(gone)) withdrawn.add(`${author.log.id} ${gone}`);
          return author.retire(author.log, ...ranges.ranges.map(([first, last]): [number, number] => [first, last]));
        }
        said.set(`${author.log.id} ${seq}`, { author, seq, slices: next.slices });
        return author.entry(entryOf(next.slices.map((slice) => receipt(slice, at + 1))));
      });
      const store = new MemoryLedgerStore();
      const ledger = await openLedger(store);
      const certificatesOf = (entry: Uint8Array): Uint8Array[] =>
        authors.flatMap(({ log }) => (log.id === parseEntry(entry).logId ? [log.bytes] : []));
      const rest = [...entries];
      while (rest.length > 0) {
        const at = later ? picks.next().value % rest.length : 0;
        const [entry] = rest.splice(at, 1);
        await ledger.offer({ certificates: certificatesOf(entry!), entries: [entry!] });
        // As somebody who synchronises in between would: what is remembered of it must not be of use any more.
        ledger.digest();
      }
      await ledger.offer({ certificates: authors.map(({ log }) => log.bytes) });
      const anew = await openLedger(store);
      await anew.offer({ certificates: authors.map(({ log }) => log.bytes) });
      assert.equal(ledger.digest(), anew.digest());
      const inForce = [...said].filter(([place]) => !withdrawn.has(place)).map(([, entry]) => entry);
      for (const replica of [ledger, anew]) {
        for (let slice = 0; slice < 3; slice++) {
          const receivers = inForce
            .filter(({ slices, author }) => slices.includes(slice) && author !== authors[0])
            .map(({ author }) => author.siteId);
          assert.deepEqual(replica.receivers(owner, slice).sort(), [...new Set(receivers)].sort());
        }
        for (const author of [authors[0]!, authors[2]!]) {
          const own = inForce.filter((entry) => entry.author.siteId === author.siteId);
          const isNewer = (one: (typeof own)[number], other: (typeof own)[number]): boolean =>
            one.author === other.author ? one.seq > other.seq : compareLogs(one.author.log, other.author.log) < 0;
          // What a former machine says of its disk is over.
          const idle = own.filter(
            (entry) =>
              entry.author === authors[0] ||
              entry.slices.every((slice) => own.some((other) => other.slices.includes(slice) && isNewer(other, entry))),
          );
          const placeOf = ({ seq, log }: { seq: number; log: string }): string => `${log} ${seq}`;
          assert.deepEqual(
            replica
              .superseded(author.siteId)
              .filter(({ kind }) => kind !== "retire")
              .map(({ seq, logId }) => placeOf({ seq, log: logId }))
              .sort(),
            idle.map(({ seq, author: { log } }) => placeOf({ seq, log: log.id })).sort(),
          );
        }
      }
    }),
    { numRuns: count(150, 3000) },
  );
});

test("what is sealed stays in the store until it is asked for", async () => {
  const author = new LedgerAuthor("one");
  const ledger = await openLedger();
  const agent = parseAgentId(makeUuidV7(1));
  const statement = { kind: "agent", agent, sealed: Buffer.from("sealed") } as const;
  await ledger.offer({ certificates: [author.log.bytes], entries: [author.say(statement)] });
  const [held] = ledger.statements(author.siteId, "agent");
  assert.deepEqual(held!.statement, { kind: "agent", agent });
  assert.deepEqual(await ledger.wholeStatements(held!.logId, held!.seq), [statement]);
  await ledger.offer({ entries: [author.retire(author.log, [0, 0])] });
  assert.deepEqual(await ledger.wholeStatements(held!.logId, held!.seq), []);
});

test("listeners hear of each new entry once, when it is durable, in order, and who wrote it", async () => {
  const author = new LedgerAuthor("one");
  const store = new MemoryLedgerStore();
  const ledger = await openLedger(store);
  const heard: Admitted[] = [];
  ledger.onAdmitted((admitted) => {
    assert.ok([...store.values.keys()].some((key) => key.endsWith(`/${String(admitted.seq).padStart(16, "0")}`)));
    heard.push(admitted);
  });
  const entries = [author.entry(), author.entry()];
  await ledger.offer({ certificates: [author.log.bytes], entries: [...entries, ...entries] });
  store.failure = { error: new Error("no space"), afterCount: 0 };
  await assert.rejects(ledger.offer({ entries: [author.entry()] }));
  const own = { id: parseAgentId(makeUuidV7(1)) as never, timeMs: 1, kind: "note", data: {} };
  await ledger.append(author.log, author.seed, own);
  assert.deepEqual(
    heard.map(({ seq, own }) => [seq, own]),
    [
      [0, false],
      [1, false],
      [2, true],
    ],
  );
});

test.run();
