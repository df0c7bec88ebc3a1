/** Remembers what a store acknowledged, and says whether a store holds all of it and nothing wrong. */
import assert from "node:assert/strict";
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { CompactionReport, PrimeStore } from "#node/store/prime-store.ts";
import { idsOf, type SamplePrime, wireBatch } from "#test/support/store-samples.ts";

interface History<Value> {
  /** Everything that was ever asked for, in order. */
  readonly values: Value[];
  /** All before it are acknowledged. */
  acknowledgedCount: number;
}

/** One moment's promises. A plain value, so that the moment of a crash can be chosen afterwards. */
export interface Promises {
  readonly claims: readonly (readonly [AgentId, PrimeId])[];
  readonly facts: ReadonlyMap<string, { readonly value: string | undefined; readonly at: number }>;
  /** By site and id how many of the keeps and releases that were asked for are acknowledged. Without it keeps may be lost. */
  readonly keeps?: ReadonlyMap<string, number>;
}

type Kept = "kept" | "kept with its bytes" | "released";

function historyOf<Value>(all: Map<string, History<Value>>, key: string): History<Value> {
  const history = all.get(key) ?? { values: [], acknowledgedCount: 0 };
  all.set(key, history);
  return history;
}

export class StoreOracle {
  readonly primes = new Map<PrimeId, Buffer>();
  readonly #claims = new Map<string, readonly [AgentId, PrimeId]>();
  readonly #facts = new Map<string, History<string | undefined>>();
  readonly #keeps = new Map<string, History<Kept>>();

  async put(store: PrimeStore, agent: AgentId, primes: readonly SamplePrime[]): Promise<void> {
    for (const { id, stored } of primes) this.primes.set(id, stored);
    await store.put(agent, primes);
    for (const { id } of primes) this.#claims.set(`${agent} ${id}`, [agent, id]);
  }

  async setFact(store: PrimeStore, key: string, value: string | undefined): Promise<void> {
    const history = historyOf(this.#facts, key);
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

  async putFor(store: PrimeStore, site: SiteId, primes: readonly SamplePrime[]): Promise<void> {
    for (const { id, stored } of primes) this.primes.set(id, stored);
    await this.#change(site, idsOf(primes), "kept with its bytes", () => store.putFor(site, wireBatch(primes)));
  }

  async keep(store: PrimeStore, site: SiteId, ids: readonly PrimeId[]): Promise<void> {
    await this.#change(site, ids, "kept", () => store.keep(site, ids));
  }

  async release(store: PrimeStore, site: SiteId, ids: readonly PrimeId[]): Promise<CompactionReport> {
    return this.#change(site, ids, "released", () => store.release(site, ids));
  }

  /** Of what a relying agent has sent nothing may change. */
  async collect(store: PrimeStore, site: SiteId, ids: readonly PrimeId[], relying: readonly AgentId[]): Promise<void> {
    const relied = new Set([...this.#claims.values()].filter(([agent]) => relying.includes(agent)).map(([, id]) => id));
    const free = ids.filter((id) => !relied.has(id));
    for (const [text, [, id]] of this.#claims) if (free.includes(id)) this.#claims.delete(text);
    await this.#change(site, free, "released", () => store.collect(site, ids, { relying }));
  }

  async #change<T>(site: SiteId, ids: readonly PrimeId[], value: Kept, action: () => Promise<T>): Promise<T> {
    const asked = ids.map((id) => {
      const history = historyOf(this.#keeps, `${site} ${id}`);
      history.values.push(value);
      return { history, count: history.values.length };
    });
    const result = await action();
    for (const { history, count } of asked) history.acknowledgedCount = Math.max(history.acknowledgedCount, count);
    return result;
  }

  promises(): Promises {
    const facts = new Map<string, { value: string | undefined; at: number }>();
    for (const [key, { values, acknowledgedCount }] of this.#facts) {
      facts.set(key, { value: values[acknowledgedCount - 1], at: acknowledgedCount });
    }
    const keeps = new Map([...this.#keeps].map(([key, { acknowledgedCount }]) => [key, acknowledgedCount]));
    return { claims: [...this.#claims.values()], facts, keeps };
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
    await this.#verifyKeeps(store, promises.keeps, mayBeRemoved);
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

  async #verifyKeeps(
    store: PrimeStore,
    promises: Promises["keeps"],
    mayBeRemoved: ReadonlySet<PrimeId>,
  ): Promise<void> {
    const totals = new Map((await store.keptTotals()).map((total) => [total.site, total]));
    const kept = new Set<string>();
    const lost = new Set<string>();
    for (const { site, count, lostCount } of totals.values()) {
      const before = [kept.size, lost.size] as const;
      for await (const page of store.kept(site)) for (const id of page) kept.add(`${site} ${id}`);
      for await (const page of store.lostOf(site)) for (const id of page) lost.add(`${site} ${id}`);
      assert.deepEqual([kept.size - before[0], lost.size - before[1]], [count, lostCount], "a total is wrong");
    }
    for (const [key, { values }] of this.#keeps) {
      const least = promises?.get(key) ?? 0;
      const allowed = values.slice(Math.max(0, least - 1));
      const isKept = kept.delete(key);
      if (promises === undefined) continue;
      const mayBeKept = allowed.some((value) => value !== "released");
      assert.ok(
        isKept ? mayBeKept : least === 0 || allowed.includes("released"),
        `${key} is ${isKept ? "" : "not "}kept`,
      );
      const isHere = isKept && !lost.has(key);
      if (
        isKept &&
        !mayBeRemoved.has(key.slice(-64) as PrimeId) &&
        allowed.every((value) => value === "kept with its bytes")
      )
        assert.ok(isHere, `${key} is lost`);
    }
    assert.deepEqual([...kept], [], "keeps that nobody asked for");
  }
}
