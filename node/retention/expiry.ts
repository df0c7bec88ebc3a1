/**
 * The end of snapshots, in steps that each last: one that no rule keeps, or that a person removes, leaves the list; after the grace it is no
 * more; after the lock, when no holder need have its primes any longer, its entry leaves the ledger. docs/specs/retention.md, Expiry
 */
import * as v from "valibot";
import { LOCK_MS } from "#ledger/drop-plan.ts";
import type { SiteChanges } from "#node/site/site-changes.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import type { Expiry, SnapshotChange, SnapshotRecord, SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import { unreadSnapshots } from "#node/site/unread-snapshots.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { JudgedRecord } from "./judging.ts";
import { GRACE_MS, type PolicyTimes } from "./policy-facts.ts";

const GONE = "gone-snapshot";
/** node/site/regained-snapshots.ts */
const PARTIAL = "partial-snapshot";
const goneSchema = v.strictObject({ heldMs: v.pipe(v.number(), v.safeInteger()) });
/** Facts of one write. */
const AT_ONCE_COUNT = 256;

export interface ExpiryComponents {
  readonly store: Pick<PrimeStore, "appendFacts" | "facts">;
  readonly snapshots: Pick<SnapshotRegistry, "changeFact" | "goneFact" | "keys">;
  readonly changes: SiteChanges;
}

type Named = Pick<SnapshotRecord, "agent" | "id" | "receivedMs">;

const keyOf = ({ agent, id }: Named): string => `${agent}/${id}`;

export class Expiries {
  readonly #components: ExpiryComponents;

  constructor(components: ExpiryComponents) {
    this.#components = components;
  }

  /** Those that nothing keeps any more leave the list, and those that something keeps again come back. */
  async look(judged: readonly JudgedRecord[], times: PolicyTimes): Promise<void> {
    const going = judged.filter(({ reasons, expiry }) => reasons.length === 0 && expiry === undefined);
    const back = judged.filter(({ reasons, expiry }) => reasons.length > 0 && expiry?.cause === "rules");
    await this.change(back, { expiry: null });
    await this.change(going, { expiry: begun("rules", times) });
    // By the clock of a machine that is no more: its grace begins anew.
    const foreign = judged.filter(({ expiry }) => expiry !== undefined && expiry.dueHeldMs > times.heldMs + GRACE_MS);
    for (const cause of ["rules", "person"] as const)
      await this.change(
        foreign.filter(({ expiry }) => expiry!.cause === cause),
        { expiry: begun(cause, times) },
      );
  }

  remove(records: readonly Named[], times: PolicyTimes): Promise<void> {
    return this.change(records, { expiry: begun("person", times) });
  }

  /** Durable when it resolves. */
  async change(records: readonly Named[], change: SnapshotChange): Promise<void> {
    const { store, snapshots, changes } = this.#components;
    for (let at = 0; at < records.length; at += AT_ONCE_COUNT) {
      const part = records.slice(at, at + AT_ONCE_COUNT);
      const facts = await Promise.all(part.map(({ agent, id }) => snapshots.changeFact(agent, id, change)));
      await store.appendFacts(facts);
      if (change.expiry) passFailpoint("retention.expired");
      for (const { receivedMs, ...named } of part)
        changes.tell({ kind: "snapshot", key: keyOf({ ...named, receivedMs }), receivedMs });
    }
  }

  /** Ends those whose grace is over; how many. Their primes go with the next collection. */
  async end(judged: readonly JudgedRecord[], heldMs: number): Promise<number> {
    const { store, snapshots } = this.#components;
    const due = judged.filter(({ expiry, reasons }) => isDue(expiry, heldMs) && reasons.length === 0);
    for (let at = 0; at < due.length; at += AT_ONCE_COUNT) {
      const facts: SiteFact[] = due
        .slice(at, at + AT_ONCE_COUNT)
        .flatMap((record) => [
          { kind: GONE, key: keyOf(record), value: encodeCbor({ heldMs }) },
          snapshots.goneFact(record.agent, record.id),
        ]);
      await store.appendFacts(facts);
      passFailpoint("retention.gone");
    }
    return due.length;
  }

  /** All that are here, those that are no more but in the ledger still, and those that came back and are not whole, or cannot be read. */
  async known(): Promise<Set<string>> {
    const { snapshots, store } = this.#components;
    const known = new Set<string>();
    for await (const { key } of snapshots.keys()) known.add(key);
    for (const kind of [GONE, PARTIAL]) for await (const { key } of store.facts(kind)) known.add(key);
    for (const key of await unreadSnapshots(store)) known.add(key);
    return known;
  }

  /** What has been gone for the lock is withdrawn from the ledger by `withdraw`, by keys `agent/snapshot`; then nothing of it is left. */
  async withdraw(heldMs: number, withdraw: (keys: readonly string[]) => Promise<void>): Promise<void> {
    const { store } = this.#components;
    const keys: string[] = [];
    for await (const { key, value } of store.facts(GONE))
      if (heldMs - readFactValue(value, goneSchema, GONE).heldMs >= LOCK_MS) keys.push(key);
    for (let at = 0; at < keys.length; at += AT_ONCE_COUNT) {
      const part = keys.slice(at, at + AT_ONCE_COUNT);
      await withdraw(part);
      await store.appendFacts(part.map((key) => ({ kind: GONE, key, value: undefined })));
    }
  }
}

const begun = (cause: Expiry["cause"], { nowMs, heldMs }: PolicyTimes): Expiry => ({
  ...{ cause, sinceMs: nowMs, dueHeldMs: heldMs + GRACE_MS },
});

const isDue = (expiry: Expiry | undefined, heldMs: number): boolean =>
  expiry !== undefined && expiry.dueHeldMs <= heldMs;
