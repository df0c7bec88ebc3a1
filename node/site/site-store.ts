/** The prime store of a data directory. */
import { join } from "node:path";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type StoreEvent, SegmentStore } from "#node/store/segment-store.ts";

export const storeDirectoryOf = (dataDirectory: string): string => join(dataDirectory, "store");

/** In this thread. Throws `store-locked` when another process has it open. */
export function openSiteStore(dataDirectory: string, onEvent?: (event: StoreEvent) => void): Promise<PrimeStore> {
  return SegmentStore.open({ directory: storeDirectoryOf(dataDirectory), ...(onEvent ? { onEvent } : {}) });
}
