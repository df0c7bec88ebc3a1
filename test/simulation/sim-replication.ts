/** What a simulated site gives its part in replication. */
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import type { Federation } from "#node/federation/federation.ts";
import { Replication } from "#node/replication/replication.ts";
import type { KeptPrimes } from "#node/replication/replication-ports.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { Machine } from "./site-program.ts";
import type { SimStore } from "./sim-store.ts";

/** Copies are sent at night, as most sites do it. */
const WINDOW = { fromMinutes: 22 * 60, toMinutes: 6 * 60 };
const LIMITS = { offeredBytes: 2 ** 28, ownerBytes: 2 ** 26 };

/** What the site has backed up itself. */
export interface OwnState {
  /** Changes with each prime that is kept. */
  revision: number;
  /** The number of the newest snapshot. */
  snapshotsCount: number;
}

export function openReplication(machine: Machine, federation: Federation, own: OwnState): Promise<Replication> {
  const { store, clock, rng, identity, onFault } = machine;
  const { ledger, membership, ownLog, transport, entries } = federation.parts;
  const { siteId: self } = identity;
  return Replication.open({
    ...{ self, clock, rng, ledger, store },
    peers: transport,
    sites: membership,
    entries: { write: (statement) => entries.write(statement), withdrawIdle: (init) => ownLog.withdrawIdle(init) },
    kept: keptPrimesOf(store),
    own: {
      slice: async (slice) => {
        const ids = (await Array.fromAsync(store.kept(self, slice.toString(16)))).flat();
        return { ids, bytes: store.bytesOf(ids) };
      },
      revision: () => own.revision,
      snapshotsCount: () => own.snapshotsCount,
    },
    settings: () => ({ isPaused: false, window: WINDOW, timeZone: "UTC", bytesPerSecond: null }),
    holdingLimits: async () => LIMITS,
    suspicion: () => {
      if (!ownLog.isReady) return "nobody was asked";
      // Until its own data is back, which nobody does here.
      return identity.epoch > 1 ? "recovering" : ownLog.suspicion;
    },
    onEvent: (event) => {
      if ("error" in event) onFault(event.error);
    },
  });
}

function keptPrimesOf(store: SimStore): KeptPrimes {
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
