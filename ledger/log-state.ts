/** What a replica has of one log. */
import { type Hash, createHash } from "node:crypto";
import type { LogId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
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

const heldEntries = new WeakMap<Entry, HeldEntry>();

export function holdEntry(entry: Entry): HeldEntry {
  let held = heldEntries.get(entry);
  if (held !== undefined) return held;
  const { logId, seq, hash, kind, timeMs, bytes } = entry;
  const statements = readStatements(entry).map(withoutSealed);
  held = { logId, seq, hash, kind, timeMs, lengthBytes: bytes.length, statements };
  heldEntries.set(entry, held);
  return held;
}

const noHash = Buffer.alloc(32);

export class LogState {
  readonly log: Log;
  #boundary: number;
  #fork: ForkProof | undefined;
  readonly #inForce = new Map<number, HeldEntry>();
  #admitted = SeqRanges.empty();
  readonly #withdrawn = SeqRanges.empty();
  /** Retires whose places other entries have: by their hashes, their seqs. */
  readonly #unplaced = new Map<string, number>();
  #digest: Buffer | undefined;
  /** What the digest is computed from, as long as entries are only added at the end. */
  #digesting: { readonly hash: Hash; last: number } | undefined;
  readonly #onChanged: () => void;

  /** `onChanged` is called when what is in force changes, or a fork is found. */
  constructor(log: Log, boundary: number, onChanged: () => void) {
    this.log = log;
    this.#boundary = boundary;
    this.#onChanged = onChanged;
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

  /** Those of them that are in `ranges`. */
  hiddenOf(ranges: SeqRanges): SeqRanges {
    const { hidden } = this;
    return hidden.without(hidden.without(ranges));
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
    this.#changed();
  }

  /** A retire whose place another entry has. Whether it is new, and counts. */
  noteUnplaced({ hash, seq }: HeldEntry): boolean {
    if (this.#unplaced.has(hash) || this.#unplaced.size >= limits.ledgerUnplacedCount) return false;
    this.#unplaced.set(hash, seq);
    return true;
  }

  /** Their hashes. */
  unplacedAt(place: number): string[] {
    return [...this.#unplaced].flatMap(([hash, seq]) => (seq === place ? [hash] : []));
  }

  #changed(): void {
    this.#digest = this.#digesting = undefined;
    this.#onChanged();
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

  /** Seqs of the retires that count. */
  retireSeqs(): SeqRanges {
    const seqs = SeqRanges.empty();
    for (const seq of [...this.seqs(RETIRE_KIND), ...this.#unplaced.values()]) seqs.add(seq);
    return seqs;
  }

  /** Seqs of all that counts, ascending. */
  placesOfAll(): number[] {
    if (this.#unplaced.size === 0) return this.seqs();
    return [...new Set([...this.seqs(), ...this.#unplaced.values()])].sort((one, other) => one - other);
  }

  /** Whether the entry is in force then. */
  admit(held: HeldEntry): boolean {
    this.#admitted.add(held.seq);
    if (this.isWithdrawn(held.seq)) return false;
    this.#inForce.set(held.seq, held);
    if (this.#digesting === undefined || held.seq <= this.#digesting.last) this.#changed();
    else {
      addToDigest(this.#digesting.hash, held.seq, held);
      this.#digesting.last = held.seq;
      this.#digest = undefined;
      this.#onChanged();
    }
    return true;
  }

  /** What goes out of force by it. */
  withdraw(ranges: SeqRanges): HeldEntry[] {
    const fresh = ranges.without(this.#withdrawn);
    if (fresh.isEmpty) return [];
    this.#withdrawn.addAll(fresh);
    // Mostly a few go of many, and a range may be longer than any log.
    const gone =
      fresh.count < this.#inForce.size
        ? [...fresh].flatMap((seq) => this.#inForce.get(seq) ?? [])
        : [...this.#inForce.values()].filter(({ seq }) => fresh.has(seq));
    for (const { seq } of gone) this.#inForce.delete(seq);
    if (gone.length > 0) this.#changed();
    return gone;
  }

  /** As in docs/specs/ledger.md, 32 bytes; computed again only after a change. */
  get digest(): Buffer {
    return (this.#digest ??= this.#fork === undefined ? this.#continuedDigest() : this.#forkedDigest());
  }

  /** Whether something before the last entry that is known is not known. */
  get hasGap(): boolean {
    const [first] = this.#admitted.ranges;
    // Mostly all of it was admitted, and nothing forgotten.
    if (first?.[0] === 0 && this.#admitted.ranges.length === 1 && (this.#withdrawn.last ?? 0) <= first[1]) return false;
    const { ranges } = this.known;
    return ranges.length > 1 || (ranges[0]?.[0] ?? 0) > 0;
  }

  #continuedDigest(): Buffer {
    if (this.#digesting === undefined) {
      const seqs = this.seqs();
      const hash = createHash("sha256");
      for (const seq of seqs) addToDigest(hash, seq, this.#inForce.get(seq));
      this.#digesting = { hash, last: seqs.at(-1) ?? -1 };
    }
    return this.#digesting.hash.copy().digest();
  }

  /** The digest of those entries in force that are in `ranges`, whether there is a fork or not. */
  digestOf(ranges: SeqRanges): Buffer {
    const digest = createHash("sha256");
    for (const seq of this.seqs()) if (ranges.has(seq)) addToDigest(digest, seq, this.#inForce.get(seq));
    return digest.digest();
  }

  #forkedDigest(): Buffer {
    const digest = createHash("sha256").update(noHash);
    for (const seq of this.seqs()) addToDigest(digest, seq, undefined);
    return digest.digest();
  }
}

const place = Buffer.alloc(8);

/** Without an entry zeros stand in place of its hash. */
function addToDigest(digest: Hash, seq: number, held: HeldEntry | undefined): void {
  place.writeUInt32BE(Math.floor(seq / 2 ** 32), 0);
  place.writeUInt32BE(seq % 2 ** 32, 4);
  digest.update(place);
  if (held === undefined) digest.update(noHash);
  else digest.update(held.hash, "hex");
}
