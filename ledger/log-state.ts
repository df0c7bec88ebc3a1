/** What a replica has of one log. */
import { createHash } from "node:crypto";
import type { Entry, Log } from "./entry.ts";
import { SeqRanges } from "./seq-ranges.ts";

/** Two entries of one place in a log, each signed by its author, as they came. */
export type ForkProof = readonly [first: Uint8Array, second: Uint8Array];

/** In memory of each entry in force. */
export interface HeldEntry {
  readonly hash: string;
  readonly kind: string;
}

const forkDigest = Buffer.alloc(32);

export class LogState {
  readonly log: Log;
  fork: ForkProof | undefined;
  readonly #inForce = new Map<number, HeldEntry>();
  readonly #admitted = SeqRanges.empty();
  readonly #withdrawn = SeqRanges.empty();
  #digest: Buffer | undefined;

  constructor(log: Log) {
    this.log = log;
  }

  get inForceCount(): number {
    return this.#inForce.size;
  }

  /** The seqs that need not be asked for: admitted or withdrawn. */
  get known(): SeqRanges {
    const known = this.#admitted.copy();
    known.addAll(this.#withdrawn);
    return known;
  }

  /** The seq of the newest entry that was admitted, withdrawn since or not. */
  get lastSeq(): number | undefined {
    return this.#admitted.last;
  }

  isWithdrawn(seq: number): boolean {
    return this.#withdrawn.has(seq);
  }

  held(seq: number): HeldEntry | undefined {
    return this.#inForce.get(seq);
  }

  /** Seqs in force, ascending. */
  seqs(): number[] {
    return [...this.#inForce.keys()].sort((one, other) => one - other);
  }

  admit({ seq, hash, kind }: Entry): void {
    this.#admitted.add(seq);
    if (this.isWithdrawn(seq)) return;
    this.#inForce.set(seq, { hash, kind });
    this.#digest = undefined;
  }

  withdraw(ranges: SeqRanges): void {
    this.#withdrawn.addAll(ranges);
    for (const seq of this.#inForce.keys()) if (ranges.has(seq)) this.#inForce.delete(seq);
    this.#digest = undefined;
  }

  /** As in docs/specs/ledger.md, 32 bytes; computed again only after a change. */
  get digest(): Buffer {
    if (this.fork) return forkDigest;
    return (this.#digest ??= this.#computeDigest());
  }

  #computeDigest(): Buffer {
    const digest = createHash("sha256");
    const place = Buffer.alloc(8);
    for (const seq of this.seqs()) {
      place.writeBigUInt64BE(BigInt(seq));
      digest.update(place).update(this.#inForce.get(seq)!.hash, "hex");
    }
    return digest.digest();
  }
}
