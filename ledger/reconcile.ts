/**
 * The owner's side of a comparison of two sets of PrimeIds: asks the holder for fingerprints and goes down where they differ
 * (docs/specs/replication.md, "Reconciling"). Where two fingerprints differ by one id, their XOR is the tag of that id, so most
 * differences need no question of their own.
 *
 * What is found is right but for chance: a tag has 64 bits, and sets may change meanwhile. So the end of a comparison proves nothing; the
 * hash of the whole set does, which the holder computes when the owner finishes.
 */
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { areEqual, differenceOf, type Fingerprint, heldDigits, type Tag } from "./prime-fingerprints.ts";
import { hexDigits, type PrimeSet } from "./prime-set.ts";
import { decodeAnswer, type Answer, type Below, encodeQuestion, type TagBelow } from "./reconcile-messages.ts";

export interface ReconcileComponents {
  /** The owner's own set. */
  readonly set: PrimeSet;
  /** Has the holder answer a question. What it throws ends the comparison. */
  readonly ask: (question: Uint8Array) => Promise<Uint8Array>;
}

export interface ReconcileInit {
  /** What is compared: the ids that start with one of these. None starts with another. */
  readonly prefixes: readonly string[];
  readonly signal?: AbortSignal;
}

/** Ids that the holder lacks, or that only the holder has. */
export type SetDifference = { readonly missing: readonly PrimeId[] } | { readonly extra: readonly PrimeId[] };

/** A set with more ids is asked for its grandchildren at once, which saves a round. */
const skippedLevelCount = 4096;
/** Of a set with at most so many ids all tags are computed to find the one that is missing. */
const singleSearchCount = 4096;

/**
 * Yields the differences as they are found, each id once; none when the sets are equal. Throws `limit-exceeded` when the holder claims
 * more than two honest sets could differ by, `bad-encoding` for what is no answer.
 */
export async function* reconcile(components: ReconcileComponents, init: ReconcileInit): AsyncGenerator<SetDifference> {
  yield* new Reconciliation(components, init).run();
}

class Reconciliation {
  readonly #set: PrimeSet;
  readonly #ask: ReconcileComponents["ask"];
  readonly #init: ReconcileInit;
  /** Prefixes below which the sets differ, to be asked about. */
  #below: string[] = [];
  /** Tags of ids that the holder alone has; without `isSure` it may be the sum of several. */
  #finds: (TagBelow & { readonly isSure: boolean })[] = [];
  #askedCount = 0;
  #extrasCount = 0;

  constructor({ set, ask }: ReconcileComponents, init: ReconcileInit) {
    this.#set = set;
    this.#ask = ask;
    this.#init = init;
  }

  async *run(): AsyncGenerator<SetDifference> {
    const { prefixes } = this.#init;
    const { sums } = await this.#question(prefixes, [], []);
    for (const [at, theirs] of sums.entries()) {
      const prefix = prefixes[at]!;
      const own = await this.#set.fingerprint(prefix);
      const isLarge = Math.min(own.count, theirs.count) > skippedLevelCount && prefix.length < heldDigits;
      if (areEqual(own, theirs)) continue;
      if (isLarge) this.#goDown(...hexDigits.map((digit) => prefix + digit));
      else yield* this.#compare(prefix, own, theirs);
    }
    while (this.#below.length + this.#finds.length > 0) yield* this.#round();
  }

  async *#round(): AsyncGenerator<SetDifference> {
    const below = this.#below.splice(0, limits.reconcileAskedCount);
    const finds = this.#finds.splice(0, limits.reconcileAskedCount);
    const answer = await this.#question([], below, finds);
    const found = finds.flatMap(({ tag }, at) => {
      const one = answer.finds[at]!;
      return "id" in one ? [{ id: one.id, tag }] : [];
    });
    const extra = found.map(({ id }) => id);
    if (this.#set.tagsOf(extra).some((tag, at) => tag !== found[at]!.tag))
      throw new CostorError("bad-encoding", "an id that has not the tag asked for");
    this.#extrasCount += extra.length;
    if (extra.length > 0) yield { extra };
    for (const [at, { prefix, isSure }] of finds.entries()) {
      const one = answer.finds[at]!;
      if ("below" in one && !isSure) yield* this.#descend(prefix, one.below);
    }
    for (const [at, prefix] of below.entries()) yield* this.#descend(prefix, answer.below[at]!);
  }

  async *#descend(prefix: string, theirs: Below): AsyncGenerator<SetDifference> {
    if ("children" in theirs) {
      const own = await this.#set.children(prefix);
      for (const [at, child] of theirs.children.entries())
        yield* this.#compare(prefix + hexDigits[at], own[at]!, child);
      return;
    }
    yield* this.#match(prefix, theirs.tags);
  }

  async *#compare(prefix: string, own: Fingerprint, theirs: Fingerprint): AsyncGenerator<SetDifference> {
    if (areEqual(own, theirs)) return;
    if (theirs.count === 0) return yield* this.#match(prefix, []);
    const tag = differenceOf(own, theirs);
    if (own.count === theirs.count + 1 && own.count <= singleSearchCount) {
      const { ids, tags } = await this.#set.tagged(prefix);
      const missing = ids[tags.indexOf(tag)];
      if (missing !== undefined) return yield { missing: [missing] };
    }
    if (own.count + 1 === theirs.count && prefix.length >= heldDigits) this.#find({ prefix, tag, isSure: false });
    else this.#goDown(prefix);
  }

  /** The holder's ids below `prefix` are those of these tags. */
  async *#match(prefix: string, theirTags: readonly Tag[]): AsyncGenerator<SetDifference> {
    const rest = new Set(theirTags);
    for await (const { ids, tags } of this.#set.taggedPages(prefix)) {
      const missing = ids.filter((_, at) => !rest.delete(tags[at]!));
      if (missing.length > 0) yield { missing };
    }
    for (const tag of rest) this.#find({ prefix, tag, isSure: true });
  }

  #find(find: TagBelow & { readonly isSure: boolean }): void {
    if (this.#extrasCount + this.#finds.length >= limits.reconcileExtrasCount)
      throw new CostorError("limit-exceeded", `the holder has more than ${limits.reconcileExtrasCount} ids too many`);
    this.#finds.push(find);
  }

  #goDown(...prefixes: readonly string[]): void {
    this.#askedCount += prefixes.length;
    if (this.#askedCount > limits.reconcilePrefixesCount)
      throw new CostorError(
        "limit-exceeded",
        `the sets differ below more than ${limits.reconcilePrefixesCount} prefixes`,
      );
    this.#below.push(...prefixes);
  }

  async #question(sums: readonly string[], below: readonly string[], finds: readonly TagBelow[]): Promise<Answer> {
    this.#init.signal?.throwIfAborted();
    this.#set.refresh();
    const question = { sums, below, finds };
    return decodeAnswer(await this.#ask(encodeQuestion(question)), question);
  }
}
