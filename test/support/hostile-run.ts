/** Runs with a holder, spoken by hand. */
import assert from "node:assert/strict";
import type { Channel } from "#ledger/peers.ts";
import { sliceOf } from "#ledger/slice.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import { type StoredPrime, batchEntry } from "#protocol/batch.ts";
import type { CborMap } from "#protocol/cbor.ts";
import type { SiteId } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { noise } from "#test/support/noise.ts";
import type { Siege } from "#test/support/siege.ts";

export const hex = (id: string): Buffer => Buffer.from(id, "hex");
export const batch = (...primes: readonly StoredPrime[]): Buffer =>
  Buffer.concat([Buffer.of(0xff), ...primes.flatMap(batchEntry)]);

/** A prime of slice 0 of this length, or of another slice. */
export function primeIn(slice: number, seed: string, lengthBytes = 100): StoredPrime {
  for (let at = 0; ; at++) {
    const stored = Buffer.alloc(lengthBytes, noise(`${seed} ${at}`, 32));
    const id = primeIdOf(stored);
    if (sliceOf(id) === slice) return { id, stored };
  }
}

export const placement = ({ author }: HostileMember, { victim }: Siege): Buffer =>
  author.say({ kind: "placement", slice: 0, holders: [victim.siteId] });

export function reserve(siege: Siege, hostile: HostileMember, changes: CborMap = {}): CborMap {
  const entry = changes["entry"] ?? placement(hostile, siege);
  return { kind: "reserve", owner: hex(hostile.siteId), slice: 0, bytes: 1_000_000, ...changes, entry };
}

/** A run in which slice 0 is granted. */
export async function granted(siege: Siege, hostile: HostileMember, bytes = 1_000_000): Promise<Channel> {
  const channel = await hostile.open(replicateProtocol);
  assert.equal(await hostile.codeOf(channel, reserve(siege, hostile, { bytes })), "granted");
  return channel;
}

export const keptOf = async ({ victim }: Siege, owner: SiteId): Promise<number> =>
  (await Array.fromAsync(victim.store.kept(owner))).flat().length;

export const liveSet = (hostile: HostileMember, primes: readonly StoredPrime[], generation = 1): Buffer => {
  const hash = hashOfSet(primes.map(({ id }) => id).toSorted());
  const set = { slice: 0, generation, count: primes.length, bytes: 100 * primes.length, hash, snapshots: 1 };
  return hostile.author.say({ kind: "live-set", ...set });
};
export const finish = (entry: Uint8Array, extras: Uint8Array = Buffer.alloc(0)): CborMap => ({
  kind: "finish",
  entry,
  extras,
});

/** Sends primes and gets a receipt. */
export async function replicate(
  siege: Siege,
  hostile: HostileMember,
  primes: readonly StoredPrime[],
): Promise<Channel> {
  const channel = await granted(siege, hostile);
  assert.equal(await hostile.codeOf(channel, batch(...primes)), "kept");
  assert.equal(await hostile.codeOf(channel, finish(liveSet(hostile, primes))), "received");
  return channel;
}

export const poison = primeIn(0, "poison");

/** Some of what the victim keeps for an owner, end to end. */
export const idsOf = async ({ victim }: Siege, owner: SiteId): Promise<Buffer> =>
  hex((await Array.fromAsync(victim.store.kept(owner))).flat().slice(0, 10).join(""));
