/**
 * Snapshots that the ledger tells of for this site, and that none of its keys opens, or that are none: what somebody said who had the site's
 * machine, or of a kit that is lost. Facts of kind `unread-snapshot`, key `agent/snapshot`.
 */
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";

const KIND = "unread-snapshot";

type Facts = Pick<PrimeStore, "fact" | "appendFacts">;

/** Durable when it resolves. */
export async function noteUnread(store: Facts, key: string): Promise<void> {
  if ((await store.fact(KIND, key)) === undefined)
    await store.appendFacts([{ kind: KIND, key, value: encodeCbor({}) }]);
}

/** It could be read after all. */
export async function forgetUnread(store: Facts, key: string): Promise<void> {
  if ((await store.fact(KIND, key)) !== undefined) await store.appendFacts([{ kind: KIND, key, value: undefined }]);
}

export async function unreadSnapshots(store: Pick<PrimeStore, "facts">): Promise<string[]> {
  return (await Array.fromAsync(store.facts(KIND))).map(({ key }) => key);
}
