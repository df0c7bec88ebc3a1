/** A set of PrimeIds as both sides of a comparison look at it: fingerprints of prefixes of any length, and the ids below them. */
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import {
  emptyFingerprint,
  type Fingerprint,
  fingerprintOf,
  heldDigits,
  type PrimeFingerprints,
  type Tag,
  tagsOf,
  withTag,
} from "./prime-fingerprints.ts";

export const hexDigits = [..."0123456789abcdef"] as const;

export interface PrimeSetComponents {
  readonly fingerprints: PrimeFingerprints;
  /** The ids that start with a prefix, ascending, in pages. */
  readonly idsWith: (prefix: string) => AsyncIterable<readonly PrimeId[]>;
}

/** The ids below a prefix with their tags, ascending by id. */
export interface TaggedIds {
  readonly ids: readonly PrimeId[];
  readonly tags: readonly Tag[];
}

export class PrimeSet {
  readonly #components: PrimeSetComponents;
  /** What was read last: who asks in order of the prefixes has each leaf read once. */
  #leaf: ({ readonly prefix: string } & TaggedIds) | undefined;

  constructor(components: PrimeSetComponents) {
    this.#components = components;
  }

  async fingerprint(prefix: string): Promise<Fingerprint> {
    if (prefix.length <= heldDigits) return this.#components.fingerprints.of(prefix);
    return fingerprintOf((await this.tagged(prefix)).tags);
  }

  /** Those of the sixteen prefixes that are longer by a digit. */
  async children(prefix: string): Promise<Fingerprint[]> {
    if (prefix.length < heldDigits) return hexDigits.map((digit) => this.#components.fingerprints.of(prefix + digit));
    const sums = hexDigits.map(() => emptyFingerprint);
    for await (const { ids, tags } of this.taggedPages(prefix)) {
      for (const [at, id] of ids.entries()) {
        const digit = Number.parseInt(id[prefix.length]!, 16);
        sums[digit] = withTag(sums[digit]!, tags[at]!);
      }
    }
    return sums;
  }

  /** All ids below a prefix, however many. */
  async *taggedPages(prefix: string): AsyncGenerator<TaggedIds> {
    const { fingerprints, idsWith } = this.#components;
    if (prefix.length >= heldDigits && this.#isLeafSmall(prefix)) yield await this.tagged(prefix);
    else for await (const ids of idsWith(prefix)) yield { ids, tags: tagsOf(fingerprints.key, ids) };
  }

  tagsOf(ids: readonly PrimeId[]): Tag[] {
    return tagsOf(this.#components.fingerprints.key, ids);
  }

  /** Throws `limit-exceeded` above `limits.reconcileLeafIdsCount`. */
  async tagged(prefix: string): Promise<TaggedIds> {
    const leafPrefix = this.#isLeafSmall(prefix) ? prefix.slice(0, heldDigits) : prefix;
    if (this.#leaf?.prefix !== leafPrefix) this.#leaf = { prefix: leafPrefix, ...(await this.#read(leafPrefix)) };
    const { ids, tags } = this.#leaf;
    const [from, to] = boundsOf(ids, prefix);
    return { ids: ids.slice(from, to), tags: tags.slice(from, to) };
  }

  #isLeafSmall(prefix: string): boolean {
    return this.#components.fingerprints.of(prefix.slice(0, heldDigits)).count <= limits.reconcileLeafIdsCount;
  }

  /** Has the next question read what the set is by then. */
  refresh(): void {
    this.#leaf = undefined;
  }

  async #read(prefix: string): Promise<TaggedIds> {
    const ids: PrimeId[] = [];
    for await (const page of this.#components.idsWith(prefix)) {
      ids.push(...page);
      if (ids.length > limits.reconcileLeafIdsCount)
        throw new CostorError("limit-exceeded", `more than ${limits.reconcileLeafIdsCount} ids start with ${prefix}`);
    }
    return { ids, tags: tagsOf(this.#components.fingerprints.key, ids) };
  }
}

/** Where those that start with a prefix begin and end among ascending ids. */
export const boundsOf = (ids: readonly PrimeId[], prefix: string): [from: number, to: number] => [
  firstFrom(ids, prefix),
  firstFrom(ids, `${prefix}g`),
];

/** The index of the first id that is not before `text`. */
function firstFrom(ids: readonly PrimeId[], text: string): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ids[middle]! < text) low = middle + 1;
    else high = middle;
  }
  return low;
}
