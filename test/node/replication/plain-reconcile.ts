/** Compares by whole lists: for tests of what stands on it. */
import type { Reconcile } from "#node/replication/owner-run.ts";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import type { PrimeId } from "#protocol/ids.ts";

export const answerWith = (ids: readonly PrimeId[]): Buffer => encodeCbor([...ids]);

export const plainReconcile: Reconcile = async function* ({ ids, ask }) {
  const theirs = decodeCbor(await ask(Buffer.alloc(0))) as unknown as PrimeId[];
  const [own, other] = [new Set(ids), new Set(theirs)];
  yield { missing: ids.filter((id) => !other.has(id)) };
  yield { extra: theirs.filter((id) => !own.has(id)) };
};
