/** Damage of which nobody knows what was in it: it is settled once nothing is missed any more. docs/specs/store.md, "Reading, checking, healing" */
import { keepTotals, sentIds } from "./keep-index.ts";
import type { DamagedStretch } from "./record-body.ts";
import type { StoreIndex } from "./store-index.ts";

/** Claims that are looked at at once. */
const claimsAtOnceCount = 4096;

/** Stretches on record without a PrimeId; none while anything is lost that is kept for a site, or that an agent has sent. */
export async function settledDamage(index: StoreIndex): Promise<DamagedStretch[]> {
  const unnamed = (await index.quarantined()).filter(({ id }) => id === undefined);
  // An index that still has what was in them says nothing.
  if (unnamed.length === 0 || !index.meta.isComplete) return [];
  const isLost = (await keepTotals(index)).some(({ total }) => total.lostCount > 0) || (await isClaimLost(index));
  return isLost ? [] : unnamed;
}

async function isClaimLost(index: StoreIndex): Promise<boolean> {
  for (let after: Buffer | undefined; ;) {
    const ids = await sentIds(index, after, claimsAtOnceCount);
    if (ids.length === 0) return false;
    if ((await index.locate(ids)).includes(undefined)) return true;
    after = ids.at(-1);
  }
}
