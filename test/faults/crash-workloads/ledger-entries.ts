/** A ledger as it lies in the store: entries of others and of its own, withdrawn ones, proofs of forks, and what is forgotten. */
import assert from "node:assert/strict";
import { parseEntry } from "#ledger/entry.ts";
import { forgetWithdrawn } from "#ledger/forgetting.ts";
import type { Ledger } from "#ledger/ledger.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import type { LogId } from "#protocol/ids.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, exchange, pull } from "#test/support/replica.ts";
import type { CrashWorkload } from "../crash-workload.ts";

interface Promised {
  /** Bytes by log and seq. */
  readonly inForce: ReadonlyMap<string, string>;
  readonly withdrawn: ReadonlySet<string>;
  readonly forked: ReadonlySet<LogId>;
  /** What it has said of its own so far. */
  readonly ownSeq: number;
}

const statement = (slice: number) => ({ kind: "placement" as const, slice, holders: [] });

const nameOf = (logId: LogId, seq: number): string => `${logId}/${seq}`;

async function stateOf(ledger: Ledger, own: LogId): Promise<Promised> {
  const inForce = new Map<string, string>();
  const withdrawn = new Set<string>();
  const forked = new Set<LogId>();
  for (const state of ledger.logs()) {
    const { id } = state.log;
    for (const seq of state.seqs()) {
      const bytes = await ledger.entry(id, seq);
      if (bytes !== undefined) inForce.set(nameOf(id, seq), Buffer.from(bytes).toString("hex"));
    }
    for (const [from, to] of state.withdrawn.ranges)
      for (let seq = from; seq <= to; seq++) withdrawn.add(nameOf(id, seq));
    if (state.fork !== undefined) forked.add(id);
  }
  return { inForce, withdrawn, forked, ownSeq: ledger.log(own)?.known.last ?? -1 };
}

export function ledgerEntries(): CrashWorkload<Promised> {
  const author = new LedgerAuthor("site");
  const own = author.log.id;
  const rogue = new LedgerAuthor("rogue");
  /** Entries that were withdrawn, as others may offer them again. */
  const given = new Map<string, Uint8Array>();
  return {
    title: "ledger",
    async record(recorder) {
      const store = new LedgerFacts({ store: await recorder.open() });
      const founder = await Replica.found("founder");
      const site = await Replica.open(author, store as never);
      const guest = await Replica.open(rogue);
      await founder.letIn(site);
      await founder.letIn(guest);
      await pull(site, founder);
      const note = async (): Promise<void> => {
        const state = await stateOf(site.ledger, own);
        for (const [name, hex] of state.inForce) given.set(name, Buffer.from(hex, "hex"));
        await recorder.note(state);
      };
      await note();
      let nowMs = 1;
      for (let round = 0; round < 10; round++) {
        for (let slice = 0; slice < 4; slice++) await site.own.write(statement(slice));
        await note();
        for (let slice = 0; slice < 3; slice++) await founder.own.write(statement(slice));
        await founder.own.withdrawIdle({ leastCount: 1 });
        await exchange(site, founder);
        await note();
        if (round % 2 === 1) {
          await site.own.withdrawIdle({ leastCount: 1 });
          await note();
          nowMs += 100;
          await forgetWithdrawn({ ledger: site.ledger, store }, { nowMs, lockMs: 50 });
          await note();
        }
        const said = rogue.say(statement(round));
        await site.ledger.offer({ certificates: [rogue.log.bytes], entries: [said] });
        if (round === 6) {
          const other = rogue.say(statement(99), { seq: parseEntry(said).seq });
          await site.ledger.offer({ entries: [other] });
        }
        await note();
      }
      const last = await stateOf(site.ledger, own);
      assert.ok(last.forked.size === 1 && last.withdrawn.size > 20, "there is a fork, and much is withdrawn");
    },
    async verify(store, { promised, next }) {
      if (promised === undefined) return;
      const site = await Replica.open(author, new LedgerFacts({ store }) as never);
      const found = await stateOf(site.ledger, own);
      const later = next ?? promised;
      for (const [name, hex] of promised.inForce)
        if (later.inForce.get(name) === hex) assert.equal(found.inForce.get(name), hex, `entry ${name} is lost`);
      assert.deepEqual([...promised.withdrawn.difference(found.withdrawn)], [], "what was withdrawn is in force again");
      assert.deepEqual([...promised.forked.difference(found.forked)], [], "a fork is forgotten");
      for (const [name, hex] of found.inForce)
        assert.ok(
          [promised.inForce.get(name), later.inForce.get(name)].includes(hex),
          `entry ${name} is not as it was`,
        );
      const entries = [...promised.withdrawn].flatMap((name) => given.get(name) ?? []);
      const taken = await site.ledger.offer({ entries });
      assert.ok(!taken.includes("admitted"), "what was withdrawn is admitted again");
      site.own.askedPeers(1);
      const bytes = await site.own.write(statement(15));
      assert.ok(parseEntry(bytes).seq > promised.ownSeq, "a place of its log is written twice");
    },
  };
}
