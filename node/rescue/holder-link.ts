/** One holder, as a gathering asks it: a channel that stays open, the next question sent before the answer has come. */
import type { Clock } from "#ledger/clock.ts";
import type { Channel, Peers } from "#ledger/peers.ts";
import { type FetchProof, fetchOver } from "#node/replication/fetch-primes.ts";
import { decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { primesAnswer, primesProtocol } from "#node/replication/primes-messages.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";

export interface HolderLinkComponents {
  readonly clock: Clock;
  readonly peers: Pick<Peers, "open">;
}

export interface HolderLinkInit {
  readonly site: SiteId;
  readonly peer: PeerKey;
  readonly owner: SiteId;
  readonly proof: FetchProof;
  /** Ends all that is under way. */
  readonly signal: AbortSignal;
}

/** One that cannot be reached, or refuses, is asked again after so long, or when no other is left. */
const REST_MS = 30_000;
/** What a new measure of the speed counts. */
const NEW_RATIO = 0.3;

export class HolderLink {
  readonly init: HolderLinkInit;
  readonly #components: HolderLinkComponents;
  #channel: Promise<Channel> | undefined;
  /** The answer to the newest question has come, or never will. */
  #answered: Promise<void> = Promise.resolve();
  #askedCount = 0;
  #msPerPrime = 0;
  #restsUntilMs = -Infinity;
  #isLiar = false;
  /** Whether it was asked anything. */
  wasAsked = false;

  constructor(components: HolderLinkComponents, init: HolderLinkInit) {
    this.#components = components;
    this.init = init;
  }

  /** It has sent what no honest one sends. */
  get isLiar(): boolean {
    return this.#isLiar;
  }

  get isResting(): boolean {
    return this.#components.clock.elapsedMs() < this.#restsUntilMs;
  }

  /** Until it has answered what it is asked now and so many primes more, by how fast it was. One that was not asked yet is tried soon. */
  expectedMs(moreCount: number): number {
    return (this.#askedCount + moreCount) * Math.max(1, this.#msPerPrime);
  }

  /** Each of those that come is told, verified; those that do not are lacking there. Throws like `fetchPrimes`. */
  async fetch(ids: readonly PrimeId[], onPrime: (prime: StoredPrime) => void): Promise<void> {
    const { clock } = this.#components;
    this.wasAsked = true;
    this.#askedCount += ids.length;
    const answered = Promise.withResolvers<void>();
    try {
      const channel = await this.#open();
      const before = this.#answered;
      this.#answered = answered.promise;
      let startedMs = clock.elapsedMs();
      const inTurn: Pick<Channel, "send" | "receive"> = {
        send: (frame) => channel.send(frame),
        receive: async (signal) => {
          await before;
          startedMs = Math.max(startedMs, this.#endedMs);
          return channel.receive(signal);
        },
      };
      const { owner, proof, signal } = this.init;
      let count = 0;
      for await (const prime of fetchOver(inTurn, { owner, proof, ids, signal })) {
        count++;
        onPrime(prime);
      }
      this.#endedMs = clock.elapsedMs();
      const msPerPrime = (this.#endedMs - startedMs) / Math.max(1, count);
      this.#msPerPrime = this.#msPerPrime * (1 - NEW_RATIO) + msPerPrime * NEW_RATIO;
    } catch (error) {
      this.#isLiar ||= isCostorError(error, "prime-mismatch") || isCostorError(error, "peer-misbehaved");
      this.#restsUntilMs = clock.elapsedMs() + REST_MS;
      this.#break();
      throw error;
    } finally {
      this.#askedCount -= ids.length;
      answered.resolve();
    }
  }

  #endedMs = 0;

  #open(): Promise<Channel> {
    const { peer, signal } = this.init;
    return (this.#channel ??= this.#components.peers.open(peer, primesProtocol, signal));
  }

  /** The answers on it are of no use any more. */
  #break(): void {
    void this.#channel?.then(
      (channel) => channel.abort(),
      () => undefined,
    );
    this.#channel = undefined;
    this.#answered = Promise.resolve();
  }

  /** Has the holder take the ticket for no more than it is worth. Best effort. */
  async cancel(signal: AbortSignal): Promise<void> {
    const { peer, proof } = this.init;
    if (!this.wasAsked || !("ticket" in proof)) return;
    const channel = await this.#components.peers.open(peer, primesProtocol, signal);
    try {
      await channel.send(encodeMessage({ kind: "cancel", ticket: proof.ticket }));
      const answer = await channel.receive(signal);
      if (answer !== undefined) decodeMessage(answer, primesAnswer);
      await channel.close();
    } finally {
      channel.abort();
    }
  }

  close(): void {
    this.#break();
  }
}
