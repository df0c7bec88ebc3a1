/** The prime store of a data directory. */
import { join } from "node:path";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { StoreEvent } from "#node/store/record-log.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { StoreProxy } from "#node/store/store-proxy.ts";
import type { CostorError } from "#protocol/errors.ts";

export const storeDirectoryOf = (dataDirectory: string): string => join(dataDirectory, "store");

/** In this thread, for one command. Throws `store-locked` when another process has it open. */
export function openSiteStore(dataDirectory: string): Promise<PrimeStore> {
  return SegmentStore.open({ directory: storeDirectoryOf(dataDirectory) });
}

export interface ServedStoreInit {
  readonly onEvent: (event: StoreEvent) => void;
  /** The store's thread has ended: nothing can be kept or read any more. */
  readonly onFailure: (error: CostorError) => void;
}

/** In a thread of its own, for a site that serves. Throws `store-locked` when another process has it open. */
export function openServedStore(dataDirectory: string, { onEvent, onFailure }: ServedStoreInit): Promise<PrimeStore> {
  return StoreProxy.open({ directory: storeDirectoryOf(dataDirectory), onEvent, onFailure });
}
