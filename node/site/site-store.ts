/** The prime store of a data directory. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { hasErrorCode } from "#node/store/disk.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { StoreEvent } from "#node/store/record-log.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { StoreProxy } from "#node/store/store-proxy.ts";
import { CostorError } from "#protocol/errors.ts";

export const storeDirectoryOf = (dataDirectory: string): string => join(dataDirectory, "store");

/** What another user writes here, root too, the site could not read any more. Throws `wrong-user`. */
async function requireOwner(dataDirectory: string): Promise<void> {
  try {
    const { uid } = await stat(storeDirectoryOf(dataDirectory));
    const mine = process.geteuid?.() ?? uid;
    if (uid === mine) return;
    throw new CostorError("wrong-user", `${dataDirectory} belongs to user ${uid}, and this is user ${mine}`, {
      details: { uid },
    });
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT")) throw error;
  }
}

/** In this thread, for one command. Throws `store-locked` when another process has it open, `wrong-user`. */
export async function openSiteStore(dataDirectory: string): Promise<PrimeStore> {
  await requireOwner(dataDirectory);
  return SegmentStore.open({ directory: storeDirectoryOf(dataDirectory) });
}

export interface ServedStoreInit {
  readonly onEvent: (event: StoreEvent) => void;
  /** The store's thread has ended: nothing can be kept or read any more. */
  readonly onFailure: (error: CostorError) => void;
}

/** In a thread of its own, for a site that serves. Throws as {@link openSiteStore}. */
export async function openServedStore(
  dataDirectory: string,
  { onEvent, onFailure }: ServedStoreInit,
): Promise<PrimeStore> {
  await requireOwner(dataDirectory);
  return StoreProxy.open({ directory: storeDirectoryOf(dataDirectory), onEvent, onFailure });
}
