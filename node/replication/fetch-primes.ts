/** Fetches an owner's primes from a site that holds them. docs/specs/replication.md, Fetching. */
import type { Channel, Peers } from "#ledger/peers.ts";
import { type StoredPrime, parseBatch } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { verifyPrime } from "#protocol/sealing.ts";
import { batchOf, decodeMessage, encodeMessage, isBatch } from "./frame-codec.ts";
import { primesAnswer, primesProtocol } from "./primes-messages.ts";
import { idsToBytes, refusalError } from "./replicate-messages.ts";

/** Why a holder gives them to a site that has no other right: a restore ticket of the owner, or its order for a drill. */
export type FetchProof = { readonly ticket: Uint8Array } | { readonly order: Uint8Array };

export interface FetchInit {
  readonly owner: SiteId;
  readonly ids: readonly PrimeId[];
  readonly proof?: FetchProof | undefined;
  readonly signal?: AbortSignal;
}

/**
 * The primes that the peer has of those asked for, each verified by its id, in any order; those that do not come are lacking there.
 * Ends when the consumer does. Throws `peer-unreachable`, `peer-refused`, `peer-misbehaved`, `prime-mismatch`.
 */
export async function* fetchPrimes(
  { peers }: { readonly peers: Pick<Peers, "open"> },
  { peer, ...init }: FetchInit & { peer: PeerKey },
): AsyncGenerator<StoredPrime> {
  const channel = await peers.open(peer, primesProtocol, init.signal);
  try {
    yield* fetchOver(channel, init);
    await channel.close();
  } finally {
    channel.abort();
  }
}

/** The same over a channel that stays open; whoever does not take all has to end it. */
export async function* fetchOver(
  channel: Pick<Channel, "send" | "receive">,
  { owner, ids, proof, signal }: FetchInit,
): AsyncGenerator<StoredPrime> {
  const fields = { kind: "fetch", owner: Buffer.from(owner, "hex"), ...proof };
  for (let at = 0; at < ids.length; at += limits.fetchIdsCount) {
    const asked = ids.slice(at, at + limits.fetchIdsCount);
    const waited = new Set(asked);
    await channel.send(encodeMessage({ ...fields, ids: idsToBytes(asked) }));
    for (let isWhole = false; !isWhole;) {
      const frame = await channel.receive(signal);
      if (frame === undefined) throw new CostorError("peer-unreachable", "the other site ended the answer");
      if (isBatch(frame)) yield* receivedBatch(batchOf(frame), waited);
      else {
        const answer = decodeMessage(frame, primesAnswer);
        if (answer.kind === "refused") throw refusalError(answer);
        isWhole = true;
      }
    }
  }
}

/** Takes each out of `waited`, verified. Throws `peer-misbehaved`, `prime-mismatch`, `bad-encoding`. */
export function* receivedBatch(batch: Uint8Array, waited: Set<PrimeId>): Generator<StoredPrime> {
  for (const prime of parseBatch(batch)) {
    if (!waited.delete(prime.id)) throw new CostorError("peer-misbehaved", `it sends prime ${prime.id} unasked`);
    verifyPrime(prime.stored, prime.id);
    yield prime;
  }
}
