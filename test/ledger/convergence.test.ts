/**
 * Goal: replicas that exchange what they have, in any order, with lost messages, partitions, restarts, forks, withdrawals and an
 * expulsion in between, end with one digest; nothing that was withdrawn or is not allowed comes back, whoever offers it.
 * Method: random runs over replicas in memory; at the end all that was ever signed is offered once more, shuffled.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { parseEntry } from "#ledger/entry.ts";
import { admitGossip, gossipMessage } from "#ledger/gossip.ts";
import { federationOf, settle } from "#test/support/federation.ts";
import { count } from "#test/support/level.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, exchange } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("convergence", { timeoutMs: 20 * 60_000 });

const membersCount = 4;
const site = fc.nat(membersCount - 1);
/** The last member is expelled in some runs; until then it behaves. */
const expelledIndex = membersCount - 1;

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ what: fc.constant("write"), site, slice: fc.nat(3), heard: fc.nat(2 ** membersCount - 1) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constant("withdraw"), site, leastCount: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 5, arbitrary: fc.record({ what: fc.constant("exchange"), site, other: site }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("restart"), site }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("fork"), site, other: site }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("expel"), site }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("step"), site }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

class Run {
  readonly replicas: Replica[];
  /** All that was ever signed. */
  readonly archive: Uint8Array[] = [];
  private forkSeq = 1000;

  constructor(replicas: readonly Replica[]) {
    this.replicas = [...replicas];
  }

  async take(one: Operation): Promise<void> {
    const replica = this.replicas[one.site]!;
    if (one.what === "write") await this.write(one as never);
    else if (one.what === "exchange")
      await exchange(replica, this.replicas[(one as never as { other: number }).other]!);
    else if (one.what === "step") await replica.step();
    else if (one.what === "fork") await this.fork(one as never);
    else if (one.what === "expel") this.expel();
    else if (one.what === "restart") {
      const { wishes } = replica;
      this.replicas[one.site] = await replica.reopened();
      this.replicas[one.site]!.wishes = wishes;
      this.replicas[one.site]!.own.askedPeers(1);
    } else if (replica.own.suspicion === undefined && this.isIn(replica)) {
      const { leastCount } = one as never as { leastCount: number };
      this.archive.push(...(await replica.own.withdrawIdle({ leastCount })));
    }
  }

  /** The others decide, each by what it knows. */
  private expel(): void {
    const { siteId } = this.replicas[expelledIndex]!;
    for (const replica of this.replicas.slice(0, expelledIndex))
      if (replica.wishes.length === 0) replica.wishRemoved(siteId);
  }

  /** What is written is spread at once to some. */
  private async write({ site, slice, heard }: { site: number; slice: number; heard: number }): Promise<void> {
    const replica = this.replicas[site]!;
    if (replica.own.suspicion !== undefined || !this.isIn(replica)) return;
    const entry = await replica.own.write({ kind: "placement", slice, holders: [] });
    this.archive.push(entry);
    const message = gossipMessage(entry, replica.author.log.bytes);
    for (const [at, other] of this.replicas.entries()) if (heard & (1 << at)) await admitGossip(other, message);
  }

  /** A clone of a site's machine writes one seq otherwise, far ahead, also as a retire: each entry is told to another site. */
  private async fork({ site, other }: { site: number; other: number }): Promise<void> {
    const { author } = this.replicas[site]!;
    const seq = this.forkSeq++;
    const clone = new LedgerAuthor(`site ${site}`);
    const [first, note] = [1, 2].map((timeMs) => clone.entry({ seq, timeMs }));
    clone.nextSeq = seq;
    const second = seq % 2 === 0 ? note : clone.retire(author.log, [0, seq % 7]);
    assert.equal(parseEntry(first!).logId, author.log.id);
    this.archive.push(first!, second!);
    await this.replicas[other]!.ledger.offer({ entries: [first!] });
    await this.replicas[(other + 1) % membersCount]!.ledger.offer({ entries: [second!] });
  }

  /** A site that knows of its expulsion can say nothing more. */
  private isIn({ membership, siteId }: Replica): boolean {
    return membership.roleOf(siteId).role === "member";
  }
}

test("replicas end with one digest, and nothing that is out of force comes back", async () => {
  // Built once, and copied for each run: it is the same start.
  const start = await federationOf(membersCount);
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 10, maxLength: 60 }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      async (operations, chance) => {
        const run = new Run(await Promise.all(start.map(copyOf)));
        for (const one of operations) await run.take(one);
        // The expelled one may not connect: the others tell each other.
        const isExpelled = async (): Promise<boolean> => {
          await settle(run.replicas.slice(0, expelledIndex));
          return run.replicas[0]!.membership.roleOf(run.replicas[expelledIndex]!.siteId).role === "expelled";
        };
        const expelled = await isExpelled();
        const together = expelled ? run.replicas.slice(0, expelledIndex) : run.replicas;
        await settle(together);
        assert.equal(new Set(together.map(({ ledger }) => ledger.digest())).size, 1);
        const offerAll = async (): Promise<void> => {
          for (const replica of together) {
            const shuffled = run.archive.map((entry) => ({ entry, at: chance.next().value as number }));
            shuffled.sort((one, other) => one.at - other.at);
            const certificates = run.replicas.map(({ author }) => author.log.bytes);
            await replica.ledger.offer({ certificates, entries: shuffled.map(({ entry }) => entry) });
          }
        };
        // Some of it only the expelled one had: after this nothing is new.
        await offerAll();
        await settle(together);
        const digest = together[0]!.ledger.digest();
        await offerAll();
        for (const replica of together) {
          assert.equal(replica.ledger.digest(), digest, "offered all once more");
          assert.equal((await replica.reopened()).ledger.digest(), digest, "opened again");
        }
      },
    ),
    { numRuns: count(40, 2000) },
  );
});

async function copyOf(replica: Replica): Promise<Replica> {
  const copy = await Replica.open(replica.author);
  for (const [key, value] of replica.store.values) copy.store.values.set(key, value);
  const opened = await copy.reopened();
  opened.own.askedPeers(1);
  return opened;
}

test.run();
