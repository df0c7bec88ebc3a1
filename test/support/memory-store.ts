/** A prime store in memory, for tests of what stands on it; the contract is that of node/store/prime-store.ts. */
import { randomBytes } from "node:crypto";
import type { Fact, PrimeStore } from "#node/store/prime-store.ts";
import { parseBatch } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { verifyPrime } from "#protocol/sealing.ts";

const keptPageCount = 1000;
const bytewise = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right));

export interface MemoryStore extends PrimeStore {
  /** Everything that was appended, in order. */
  readonly appended: readonly Fact[];
  /** What `get` was asked for. */
  readonly read: readonly PrimeId[];
  /** Loses a prime, as damage would: marks go with it. */
  lose(id: PrimeId): void;
}

export function createMemoryStore(): MemoryStore {
  const primes = new Map<PrimeId, Buffer>();
  const claims = new Set<string>();
  const facts = new Map<string, Map<string, Buffer>>();
  const keeps = new Map<SiteId, Set<PrimeId>>();
  const marks = new Set<string>();
  const appended: Fact[] = [];
  const read: PrimeId[] = [];
  let epoch = 1;
  const get = async (id: PrimeId): Promise<Buffer> => {
    read.push(id);
    const stored = primes.get(id);
    if (!stored) throw new CostorError("prime-missing", `prime ${id} is not held`);
    return stored;
  };
  const keep: PrimeStore["keep"] = async (site, ids) => {
    const kept = keeps.get(site) ?? new Set<PrimeId>();
    if (ids.length > 0) keeps.set(site, kept);
    for (const id of ids) kept.add(id);
  };
  const isClaimed = (id: PrimeId): boolean => [...claims].some((claim) => claim.endsWith(id));
  const isKept = (id: PrimeId): boolean => [...keeps.values()].some((kept) => kept.has(id));
  const keptIds = (site: SiteId, prefix = ""): PrimeId[] =>
    [...(keeps.get(site) ?? [])].filter((id) => id.startsWith(prefix)).toSorted();
  /** Removes primes and who has sent them. */
  const remove: PrimeStore["remove"] = async (ids) => {
    const before = primes.size;
    for (const id of ids) primes.delete(id);
    for (const claim of claims) if (ids.some((id) => claim.endsWith(id))) claims.delete(claim);
    marks.clear();
    epoch++;
    return { removedPrimesCount: before - primes.size, removedSegmentsCount: 0, movedBytes: 0, freedBytes: 0 };
  };
  const put: PrimeStore["put"] = async (sender, batch) => {
    for (const { id, stored } of batch) verifyPrime(stored, id);
    for (const { id, stored } of batch) {
      primes.set(id, Buffer.from(stored));
      claims.add(`${sender} ${id}`);
    }
  };
  let generation = randomBytes(16).toString("hex");
  return {
    get generation() {
      return generation;
    },
    appended,
    read,
    lose: (id) => {
      primes.delete(id);
      marks.clear();
      epoch++;
      generation = randomBytes(16).toString("hex");
    },
    put,
    putBatch: async (sender, batch) => {
      const parsed = [...parseBatch(batch)];
      await put(sender, parsed);
      return { storedCount: parsed.length };
    },
    claim: async (sender, ids) => {
      for (const id of ids) claims.add(`${sender} ${id}`);
    },
    has: async (ids) => ids.map((id) => primes.has(id)),
    hasClaimed: async (sender, ids) => ids.map((id) => claims.has(`${sender} ${id}`)),
    hasSent: async (sender, ids) => ids.map((id) => primes.has(id) && claims.has(`${sender} ${id}`)),
    keep,
    putFor: async (site, batch) => {
      const parsed = [...parseBatch(batch)];
      for (const { id, stored } of parsed) verifyPrime(stored, id);
      for (const { id, stored } of parsed) primes.set(id, Buffer.from(stored));
      await keep(
        site,
        parsed.map(({ id }) => id),
      );
      return { storedCount: parsed.length, storedBytes: parsed.reduce((sum, { stored }) => sum + stored.length, 0) };
    },
    release: async (site, ids, signal) => {
      signal?.throwIfAborted();
      for (const id of ids) keeps.get(site)?.delete(id);
      if (keeps.get(site)?.size === 0) keeps.delete(site);
      return remove(ids.filter((id) => !isKept(id) && !isClaimed(id)));
    },
    collect: async (site, ids, { relying, isDry = false }) => {
      const free = [...new Set(ids)].filter((id) => !relying.some((agent) => claims.has(`${agent} ${id}`)));
      const others = [...keeps].filter(([other]) => other !== site).map(([, kept]) => kept);
      const going = free.filter((id) => primes.has(id) && !others.some((kept) => kept.has(id)));
      const removedBytes = going.reduce((sum, id) => sum + primes.get(id)!.length, 0);
      if (!isDry) {
        for (const id of free) keeps.get(site)?.delete(id);
        if (keeps.get(site)?.size === 0) keeps.delete(site);
        for (const claim of claims) if (free.some((id) => claim.endsWith(id))) claims.delete(claim);
        await remove(going);
      }
      return { removedPrimesCount: going.length, removedBytes };
    },
    compact: async () => ({ removedSegmentsCount: 0, movedBytes: 0, freedBytes: 0 }),
    async *sent() {
      const ids = [...new Set([...claims].map((claim) => claim.split(" ")[1] as PrimeId))].toSorted();
      for (let at = 0; at < ids.length; at += keptPageCount) yield ids.slice(at, at + keptPageCount);
    },
    async *kept(site, prefix) {
      const ids = keptIds(site, prefix);
      for (let at = 0; at < ids.length; at += keptPageCount) yield ids.slice(at, at + keptPageCount);
    },
    hasKept: async (site, ids) => ids.map((id) => keeps.get(site)?.has(id) ?? false),
    keptTotals: async () =>
      [...keeps.keys()].toSorted().map((site) => ({
        site,
        count: keptIds(site).length,
        bytes: keptIds(site).reduce((sum, id) => sum + (primes.get(id)?.length ?? 0), 0),
        lostCount: keptIds(site).filter((id) => !primes.has(id)).length,
      })),
    keptSlices: async (site) =>
      [..."0123456789abcdef"].flatMap((digit, slice) => {
        const ids = keptIds(site, digit);
        const here = ids.flatMap((id) => primes.get(id) ?? []);
        const bytes = here.reduce((sum, { length }) => sum + length, 0);
        return ids.length === 0 ? [] : [{ slice, count: ids.length, bytes, lostCount: ids.length - here.length }];
      }),
    async *lostOf(site) {
      const ids = keptIds(site).filter((id) => !primes.has(id));
      if (ids.length > 0) yield ids;
    },
    get,
    getMany: (ids) => Promise.all(ids.map(get)),
    appendFacts: async (batch) => {
      for (const fact of batch) {
        appended.push(fact);
        const kind = facts.get(fact.kind) ?? new Map<string, Buffer>();
        facts.set(fact.kind, kind);
        if (fact.value === undefined) kind.delete(fact.key);
        else kind.set(fact.key, Buffer.from(fact.value));
      }
    },
    fact: async (kind, key) => facts.get(kind)?.get(key),
    async *facts(kind, prefix = "") {
      const all = [...(facts.get(kind) ?? [])].sort(([left], [right]) => bytewise(left, right));
      for (const [key, value] of all) if (key.startsWith(prefix)) yield { key, value };
    },
    closedEpoch: async () => epoch,
    markClosed: async (added, since = epoch) => {
      if (since === epoch) for (const mark of added) marks.add(mark);
    },
    areClosed: async (asked) => asked.map((mark) => marks.has(mark)),
    check: async () => ({
      segmentsCount: 0,
      recordsCount: 0,
      primesCount: primes.size,
      verifiedPrimesCount: 0,
      readBytes: 0,
      findings: [],
      quarantined: [],
    }),
    scrub: async () => ({ next: undefined, readBytes: 0, totalBytes: 0, findings: [] }),
    verifyIndex: async () => true,
    rebuildIndex: async () => marks.clear(),
    stats: async () => ({
      primesCount: primes.size,
      primesBytes: 0,
      factsCount: 0,
      segmentsCount: 0,
      segmentsBytes: 0,
      indexBytes: 0,
      freeBytes: 0,
      reserveBytes: 0,
      quarantinedCount: 0,
      damagedCount: 0,
      isFailed: false,
    }),
    remove,
    [Symbol.asyncDispose]: async () => {},
  };
}
