/** A store of small segments on a disk in memory, some work for it, and calls that fail. */
import assert from "node:assert/strict";
import { isCostorError } from "#protocol/errors.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { type FaultChoice, type RecordingDisk } from "#test/support/recording-disk.ts";
import type { StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, samplePrimes, sampleSite } from "#test/support/store-samples.ts";

/** `directory` is where the index is. */
export const openOn = (directory: string, disk: RecordingDisk): Promise<SegmentStore> =>
  SegmentStore.open({ directory, segmentBytes: 12 * 1024, reserveFileBytes: 0 }, { disk });

/** Fails the call number `at`, counted from now, of the types named. */
export function failAt(
  disk: RecordingDisk,
  at: number,
  types: readonly string[],
  error: () => Error,
  isForGood: boolean,
): { count: () => number } {
  let seen = 0;
  const choose: FaultChoice = (call) => {
    if (!types.includes(call.type)) return undefined;
    const number = seen++;
    if (number !== at && !(isForGood && number > at)) return undefined;
    return { error: error(), writtenBytes: call.type === "write" ? Math.floor(call.bytes.length / 2) : 0 };
  };
  disk.chooseFault = choose;
  return { count: () => seen };
}

/** Puts primes and facts into several segments. Returns the codes of what was refused. */
export async function work(store: SegmentStore, oracle: StoreOracle): Promise<string[]> {
  const codes: string[] = [];
  const attempt = async (action: Promise<void>): Promise<void> => {
    await action.catch((error: unknown) => {
      assert.ok(isCostorError(error), String(error));
      codes.push(error.code);
    });
  };
  for (let round = 0; round < 6; round++) {
    await attempt(oracle.put(store, sampleAgent(1), samplePrimes(200 + round, 4, 700)));
    await attempt(oracle.setFact(store, `key ${round % 2}`, `value ${round}`));
    await attempt(oracle.putFor(store, sampleSite(1), samplePrimes(300 + round, 2, 400)));
    await attempt(oracle.keep(store, sampleSite(2), idsOf(samplePrimes(200 + round, 2, 700))));
  }
  return codes;
}
