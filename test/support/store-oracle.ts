/** Remembers what a store acknowledged, and says whether a store holds all of it and nothing wrong. */
import assert from "node:assert/strict";
import type { AgentId, PrimeId } from "#protocol/ids.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { CompactionReport, PrimeStore } from "#node/store/prime-store.ts";
import type { SamplePrime } from "#test/support/store-samples.ts";

interface FactHistory {
  /** Everything that was ever asked for, in order. */
  readonly values: (string | undefined)[];
  /** All before it are acknowledged. */
  acknowledgedCount: number;
}

/** One moment's promises. A plain value, so that the moment of a crash can be chosen afterwards. */
export interface Promises {
  readonly claims: readonly (readonly [AgentId, PrimeId])[];
  readonly facts: ReadonlyMap<string, { readonly value: string | undefined; readonly at: number }>;
}

export class StoreOracle {
  readonly primes = new Map<PrimeId, Buffer>();
  readonly #claims = new Map<string, readonly [AgentId, PrimeId]>();
  readonly #facts = new Map<string, FactHistory>();

  async put(store: PrimeStore, agent: AgentId, primes: readonly SamplePrime[]): Promise<void> {
    for (const { id, stored } of primes) this.primes.set(id, stored);
    await store.put(agent, primes);
    for (const { id } of primes) this.#claims.set(`${agent} ${id}`, [agent, id]);
  }

  async setFact(store: PrimeStore, key: string, value: string | undefined): Promise<void> {
    const history = this.#facts.get(key) ?? { values: [], acknowledgedCount: 0 };
    this.#facts.set(key, history);
    history.values.push(value);
    const count = history.values.length;
    await store.appendFacts([{ kind: "test", key, value: value === undefined ? undefined : Buffer.from(value) }]);
    history.acknowledgedCount = Math.max(history.acknowledgedCount, count);
  }

  async remove(store: PrimeStore, ids: readonly PrimeId[]): Promise<CompactionReport> {
    // From here on they may be gone.
    for (const [text, [, id]] of this.#claims) if (ids.includes(id)) this.#claims.delete(text);
    return store.remove(ids);
  }

  promises(): Promises {
    const facts = new Map<string, { value: string | undefined; at: number }>();
    for (const [key, { values, acknowledgedCount }] of this.#facts) {
      facts.set(key, { value: values[acknowledgedCount - 1], at: acknowledgedCount });
    }
    return { claims: [...this.#claims.values()], facts };
  }

  /**
   * Checks that a store keeps `promises`; what was asked for later may be there too. `mayBeRemoved`: asked to be removed later.
   */
  async verify(store: PrimeStore, promises: Promises, mayBeRemoved: ReadonlySet<PrimeId> = new Set()): Promise<void> {
    const byAgent = Map.groupBy(
      promises.claims.filter(([, id]) => !mayBeRemoved.has(id)),
      ([agent]) => agent,
    );
    for (const [agent, claims] of byAgent) {
      const ids = claims.map(([, id]) => id);
      const sent = await store.hasSent(agent, ids);
      assert.deepEqual(
        ids.filter((_, at) => !sent[at]),
        [],
        "acknowledged primes are missing",
      );
      const found = await store.getMany(ids);
      for (const [at, id] of ids.entries())
        assert.ok(found[at]!.equals(this.primes.get(id)!), `prime ${id} has other bytes`);
    }
    for (const [id, stored] of this.primes) {
      const found = await store.get(id).catch((error: unknown) => {
        assert.ok(
          isCostorError(error, "prime-missing") || isCostorError(error, "prime-corrupt"),
          `prime ${id}: ${String(error)}`,
        );
        return stored;
      });
      assert.ok(found.equals(stored), `prime ${id} has other bytes`);
    }
    const listed = new Map<string, string>();
    for await (const { key, value } of store.facts("test")) listed.set(key, value.toString());
    for (const [key, { values }] of this.#facts) {
      const least = promises.facts.get(key)?.at ?? 0;
      const allowed = values.slice(Math.max(0, least - 1));
      if (least === 0) allowed.push(undefined);
      assert.ok(
        allowed.includes(listed.get(key)),
        `fact ${key} is ${listed.get(key)}, not one of ${allowed.join(", ")}`,
      );
      assert.equal((await store.fact("test", key))?.toString(), listed.get(key));
      listed.delete(key);
    }
    assert.deepEqual([...listed.keys()], [], "facts that nobody wrote");
  }
}
