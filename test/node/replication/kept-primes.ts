import { answerQuestion } from "#ledger/reconcile-answer.ts";
import type { KeptPrimes } from "#node/replication/replication-ports.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";

/** What a store keeps for others, without what it has lost, read anew each time. */
export function keptPrimesOf(store: PrimeStore): KeptPrimes {
  const slice = async (owner: SiteId, number: number): Promise<PrimeId[]> => {
    const lost = new Set((await Array.fromAsync(store.lostOf(owner))).flat());
    const kept = (await Array.fromAsync(store.kept(owner, number.toString(16)))).flat();
    return kept.filter((id) => !lost.has(id));
  };
  return {
    put: (owner, batch) => store.putFor(owner, batch),
    release: (owner, ids, signal) => store.release(owner, ids, signal),
    slice,
    compare: async (owner, number, key, question) =>
      answerQuestion(setOfList(key, await slice(owner, number)), question),
  };
}
