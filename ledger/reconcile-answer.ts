/** The holder's side of a comparison: says what its set has below prefixes. */
import { CostorError } from "#protocol/errors.ts";
import { heldDigits } from "./prime-fingerprints.ts";
import type { PrimeSet } from "./prime-set.ts";
import {
  type Below,
  decodeQuestion,
  encodeAnswer,
  type Found,
  mostTagsCount,
  type TagBelow,
} from "./reconcile-messages.ts";

/**
 * The answer to a question of reconcile.ts, both as bytes. Reads each leaf of the set at most once when the question's prefixes ascend.
 * Throws `bad-encoding` and `limit-exceeded` for what no honest owner asks.
 */
export async function answerQuestion(set: PrimeSet, bytes: Uint8Array): Promise<Buffer> {
  const question = decodeQuestion(bytes);
  set.refresh();
  const sums = await inOrder(question.sums, (prefix) => set.fingerprint(prefix));
  const below = await inOrder(question.below, (prefix) => belowOf(set, prefix));
  const finds = await inOrder(question.finds, (asked) => find(set, asked));
  return encodeAnswer({ sums, below, finds });
}

async function belowOf(set: PrimeSet, prefix: string): Promise<Below> {
  const { count } = await set.fingerprint(prefix);
  return count > mostTagsCount
    ? { children: await set.children(prefix) }
    : { tags: (await set.tagged(prefix)).tags.toSorted(byNumber) };
}

async function find(set: PrimeSet, { prefix, tag }: TagBelow): Promise<Found> {
  // Reading more than a leaf for each tag would let an owner keep this site busy.
  if (prefix.length < heldDigits && (await set.fingerprint(prefix)).count > mostTagsCount)
    throw new CostorError("limit-exceeded", "a tag is looked for below a longer prefix");
  const { ids, tags } = await set.tagged(prefix);
  const id = ids[tags.indexOf(tag)];
  return id === undefined ? { below: await belowOf(set, prefix) } : { id };
}

const byNumber = (left: bigint, right: bigint): number => (left < right ? -1 : 1);

async function inOrder<A, T>(asked: readonly A[], answer: (item: A) => Promise<T>): Promise<T[]> {
  const answers: T[] = [];
  for (const item of asked) answers.push(await answer(item));
  return answers;
}
