/** What a replica has of one log. */
import { createHash } from "node:crypto";
import type { LogId } from "#protocol/ids.ts";
import type { Entry, Log } from "./entry.ts";
import { RETIRE_KIND } from "./retire.ts";
import { SeqRanges } from "./seq-ranges.ts";
import { type HeldStatement, readStatements, withoutSealed } from "./statements.ts";

/** Two entries of one place in a log, each signed by its author, as they came. */
export type ForkProof = readonly [first: Uint8Array, second: Uint8Array];

/** In memory of each entry in force. */
export interface HeldEntry {
  readonly logId: LogId;
  readonly seq: number;
  readonly hash: string;
  readonly kind: string;
  readonly timeMs: number;
  /** Of the signed entry. */
  readonly lengthBytes: number;
  /** Empty for an entry that says nothing. */
  readonly statements: readonly HeldStatement[];
}

export function holdEntry(entry: Entry): HeldEntry {
  const { logId, seq, hash, kind, timeMs, bytes } = entry;
  const statements = readStatements(entry).map(withoutSealed);
  return { logId, seq, hash, kind, timeMs, lengthBytes: bytes.length, statements };
}

const noHash = Buffer.alloc(32);

export class LogState {
  readonly log: Log;
  #boundary: number;
  #fork: ForkProof | undefined;
  readonly #inForce = new Map<number, HeldEntry>();
  #admitted = SeqRanges.empty();
  readonly #withdrawn = SeqRanges.empty();
  #digest: Buffer | undefined;

  constructor(log: Log, boundary: number) {
    this.log = log;
    this.#boundary = boundary;
  }

  /** The last seq that the membership allows: -1 for none, Infinity for all. Nothing beyond it is here. */
  get boundary(): number {
    return this.#boundary;
  }

  /** Whether that was all: with another boundary, nothing of it is to be hidden. A fork may be. */
  moveBoundary(boundary: number): boolean {
    if (boundary === this.#boundary) return true;
    if (this.#boundary !== Infinity || (this.lastSeq ?? -1) > boundary || this.#fork !== undefined) return false;
    this.#boundary = boundary;
    return true;
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

  /** The seqs whose entries were admitted and are withdrawn: what is kept of them is hidden. */
  get hidden(): SeqRanges {
    return this.#admitted.without(this.#admitted.without(this.#withdrawn));
  }

  get withdrawn(): SeqRanges {
    return this.#withdrawn.copy();
  }

  /** The seq of the newest entry that was admitted, withdrawn since or not. */
  get lastSeq(): number | undefined {
    return this.#admitted.last;
  }

  /** They are not kept any more. */
  forget(ranges: SeqRanges): void {
    this.#admitted = this.#admitted.without(ranges);
  }

  get fork(): ForkProof | undefined {
    return this.#fork;
  }

  set fork(proof: ForkProof) {
    this.#fork = proof;
    this.#digest = undefined;
  }

  isWithdrawn(seq: number): boolean {
    return this.#withdrawn.has(seq);
  }

  held(seq: number): HeldEntry | undefined {
    return this.#inForce.get(seq);
  }

  /** Seqs in force, ascending; of `kind` when one is given. */
  seqs(kind?: string): number[] {
    const entries = [...this.#inForce.values()].filter((held) => kind === undefined || held.kind === kind);
    return entries.map(({ seq }) => seq).sort((one, other) => one - other);
  }

  /** Seqs of the retires in force. */
  retireSeqs(): SeqRanges {
    const seqs = SeqRanges.empty();
    for (const seq of this.seqs(RETIRE_KIND)) seqs.add(seq);
    return seqs;
  }

  /** Whether the entry is in force then. */
  admit(held: HeldEntry): boolean {
    this.#admitted.add(held.seq);
    if (this.isWithdrawn(held.seq)) return false;
    this.#inForce.set(held.seq, held);
    this.#digest = undefined;
    return true;
  }

  /** What goes out of force by it. */
  withdraw(ranges: SeqRanges): HeldEntry[] {
    const fresh = ranges.without(this.#withdrawn);
    if (fresh.isEmpty) return [];
    this.#withdrawn.addAll(fresh);
    const gone = [...this.#inForce.values()].filter(({ seq }) => fresh.has(seq));
    for (const { seq } of gone) this.#inForce.delete(seq);
    this.#digest = undefined;
    return gone;
  }

  /** As in docs/specs/ledger.md, 32 bytes; computed again only after a change. */
  get digest(): Buffer {
    return (this.#digest ??= this.#digestOf(this.seqs(), this.#fork === undefined));
  }

  /** The digest of those entries in force that are in `ranges`, whether there is a fork or not. */
  digestOf(ranges: SeqRanges): Buffer {
    return this.#digestOf(
      this.seqs().filter((seq) => ranges.has(seq)),
      true,
    );
  }

  #digestOf(seqs: readonly number[], withHashes: boolean): Buffer {
    const digest = createHash("sha256");
    const place = Buffer.alloc(8);
    for (const seq of seqs) {
      place.writeBigUInt64BE(BigInt(seq));
      digest.update(place);
      if (withHashes) digest.update(this.#inForce.get(seq)!.hash, "hex");
      else digest.update(noHash);
    }
    return digest.digest();
  }
}
