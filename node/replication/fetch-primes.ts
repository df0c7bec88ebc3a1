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
  init: FetchInit,
): AsyncGenerator<StoredPrime> {
  for await (const { batch, waited } of answeredBatches(channel, init)) yield* receivedBatch(batch, waited);
}

/** A batch as it came: that its primes are what their ids say is for the store to see. */
export interface FetchedBatch {
  /** In memory that nothing else is in, but for one byte before it. */
  readonly batch: Uint8Array;
  readonly ids: readonly PrimeId[];
}

/** As {@link fetchPrimes}, for a store that verifies what it is given. Throws the same but for `prime-mismatch`. */
export async function* fetchBatches(
  { peers }: { readonly peers: Pick<Peers, "open"> },
  { peer, ...init }: FetchInit & { peer: PeerKey },
): AsyncGenerator<FetchedBatch> {
  const channel = await peers.open(peer, primesProtocol, init.signal);
  try {
    for await (const { batch, waited } of answeredBatches(channel, init)) {
      const ids = Array.from(parseBatch(batch), ({ id }) => id);
      for (const id of ids) requireAsked(id, waited);
      yield { batch, ids };
    }
    await channel.close();
  } finally {
    channel.abort();
  }
}

/** Each with the ids of its question that have not come yet. */
async function* answeredBatches(
  channel: Pick<Channel, "send" | "receive">,
  { owner, ids, proof, signal }: FetchInit,
): AsyncGenerator<{ readonly batch: Uint8Array; readonly waited: Set<PrimeId> }> {
  const fields = { kind: "fetch", owner: Buffer.from(owner, "hex"), ...proof };
  for (let at = 0; at < ids.length; at += limits.fetchIdsCount) {
    const asked = ids.slice(at, at + limits.fetchIdsCount);
    const waited = new Set(asked);
    await channel.send(encodeMessage({ ...fields, ids: idsToBytes(asked) }));
    for (let isWhole = false; !isWhole;) {
      const frame = await channel.receive(signal);
      if (frame === undefined) throw new CostorError("peer-unreachable", "the other site ended the answer");
      if (isBatch(frame)) yield { batch: batchOf(frame), waited };
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
    requireAsked(prime.id, waited);
    verifyPrime(prime.stored, prime.id);
    yield prime;
  }
}

function requireAsked(id: PrimeId, waited: Set<PrimeId>): void {
  if (!waited.delete(id)) throw new CostorError("peer-misbehaved", `it sends prime ${id} unasked`);
}
