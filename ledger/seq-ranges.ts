/** Sets of sequence numbers as ascending ranges that do not touch: what a replica knows of a log, and what a retire withdraws. */
import { CostorError } from "#protocol/errors.ts";

/** First and last, both included. */
export type SeqRange = readonly [first: number, last: number];

export class SeqRanges {
  /** Ascending, with at least one number missing between two. */
  readonly #ranges: SeqRange[];

  private constructor(ranges: SeqRange[]) {
    this.#ranges = ranges;
  }

  static empty(): SeqRanges {
    return new SeqRanges([]);
  }

  /** Of what came from outside. Throws `bad-encoding` unless the ranges are ascending, apart, and of safe integers from 0. */
  static parse(value: unknown, mostRangesCount: number): SeqRanges {
    if (!Array.isArray(value) || value.length > mostRangesCount)
      throw new CostorError("bad-encoding", `at most ${mostRangesCount} ranges are expected`);
    let least = 0;
    const ranges = value.map((range: unknown): SeqRange => {
      if (!Array.isArray(range) || range.length !== 2 || !range.every(Number.isSafeInteger))
        throw new CostorError("bad-encoding", "a range is two numbers");
      const [first, last] = range as [number, number];
      if (first < least || last < first) throw new CostorError("bad-encoding", "ranges are ascending and do not touch");
      least = last + 2;
      return [first, last];
    });
    return new SeqRanges(ranges);
  }

  get ranges(): readonly SeqRange[] {
    return this.#ranges;
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** How many numbers it has. */
  get count(): number {
    return this.#ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  }

  /** The largest number; undefined of an empty set. */
  get last(): number | undefined {
    return this.#ranges.at(-1)?.[1];
  }

  has(seq: number): boolean {
    const range = this.#ranges[this.#indexFrom(seq)];
    return range !== undefined && range[0] <= seq;
  }

  /** Whether every number of `other` is in this set. */
  contains(other: SeqRanges): boolean {
    return other.#ranges.every(([first, last]) => {
      const range = this.#ranges[this.#indexFrom(first)];
      return range !== undefined && range[0] <= first && last <= range[1];
    });
  }

  /** Adds all numbers of a range to this set. */
  add(first: number, last = first): void {
    // Ranges that the new one touches or overlaps become one with it.
    const from = this.#indexFrom(first - 1);
    let to = from;
    let [least, most] = [first, last];
    for (; to < this.#ranges.length && this.#ranges[to]![0] <= last + 1; to++) {
      least = Math.min(least, this.#ranges[to]![0]);
      most = Math.max(most, this.#ranges[to]![1]);
    }
    this.#ranges.splice(from, to - from, [least, most]);
  }

  addAll(other: SeqRanges): void {
    for (const [first, last] of other.#ranges) this.add(first, last);
  }

  /** The numbers of this set that are not in `other`. */
  without(other: SeqRanges): SeqRanges {
    const left: SeqRange[] = [];
    for (const [first, last] of this.#ranges) {
      let at = first;
      for (let index = other.#indexFrom(first); index < other.#ranges.length && at <= last; index++) {
        const [otherFirst, otherLast] = other.#ranges[index]!;
        if (otherFirst > last) break;
        if (otherFirst > at) left.push([at, otherFirst - 1]);
        at = Math.max(at, otherLast + 1);
      }
      if (at <= last) left.push([at, last]);
    }
    return new SeqRanges(left);
  }

  /** The numbers that are at most `last`. */
  upTo(last: number): SeqRanges {
    const ranges = this.#ranges.filter(([first]) => first <= last);
    return new SeqRanges(ranges.map(([first, end]) => [first, Math.min(end, last)]));
  }

  copy(): SeqRanges {
    return new SeqRanges([...this.#ranges]);
  }

  *[Symbol.iterator](): Generator<number> {
    for (const [first, last] of this.#ranges) for (let seq = first; seq <= last; seq++) yield seq;
  }

  /** The index of the first range that does not end before `seq`. */
  #indexFrom(seq: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges[middle]![1] < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
