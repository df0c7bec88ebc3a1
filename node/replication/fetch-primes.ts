/** Fetches an owner's primes from a site that holds them. docs/specs/replication.md, Fetching. */
import type { Peers } from "#ledger/peers.ts";
import { type StoredPrime, parseBatch } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { verifyPrime } from "#protocol/sealing.ts";
import { batchOf, decodeMessage, encodeMessage, isBatch } from "./frame-codec.ts";
import { primesAnswer, primesProtocol } from "./primes-messages.ts";
import { idsToBytes, refusalError } from "./replicate-messages.ts";

/**
 * The primes that the peer has of those asked for, each verified by its id, in any order; those that do not come are lacking there.
 * Ends when the consumer does. Throws `peer-unreachable`, `peer-refused`, `peer-misbehaved`, `prime-mismatch`.
 */
export async function* fetchPrimes(
  { peers }: { readonly peers: Pick<Peers, "open"> },
  { peer, owner, ids, signal }: { peer: PeerKey; owner: SiteId; ids: readonly PrimeId[]; signal?: AbortSignal },
): AsyncGenerator<StoredPrime> {
  const channel = await peers.open(peer, primesProtocol, signal);
  try {
    for (let at = 0; at < ids.length; at += limits.fetchIdsCount) {
      const asked = ids.slice(at, at + limits.fetchIdsCount);
      const waited = new Set(asked);
      await channel.send(encodeMessage({ kind: "fetch", owner: Buffer.from(owner, "hex"), ids: idsToBytes(asked) }));
      for (let isWhole = false; !isWhole;) {
        const frame = await channel.receive(signal);
        if (frame === undefined) throw new CostorError("peer-unreachable", "the other site ended the answer");
        if (isBatch(frame)) yield* verified(batchOf(frame), waited);
        else {
          const answer = decodeMessage(frame, primesAnswer);
          if (answer.kind === "refused") throw refusalError(answer);
          isWhole = true;
        }
      }
    }
    await channel.close();
  } finally {
    channel.abort();
  }
}

function* verified(batch: Uint8Array, waited: Set<PrimeId>): Generator<StoredPrime> {
  for (const prime of parseBatch(batch)) {
    if (!waited.delete(prime.id)) throw new CostorError("peer-misbehaved", `it sends prime ${prime.id} unasked`);
    verifyPrime(prime.stored, prime.id);
    yield prime;
  }
}
