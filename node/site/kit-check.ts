/**
 * Whether a person has put the recovery kit away: two of its words, at positions drawn at the first run, are typed back.
 *
 * The site keeps a salted scrypt hash of those two words together, so a thief of the server who breaks it learns 22 of the
 * root's 256 bits: the rest stays far out of reach. Separate hashes of each word, or of any pair that a person
 * may choose, would give the whole root away, since a list of words has 2,048 entries only.
 */
import { randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { join } from "node:path";
import * as v from "valibot";
import { CostorError } from "#protocol/errors.ts";
import { replaceDurably } from "./durable-file.ts";
import { readEnvelope, sealEnvelope } from "./envelope.ts";
import { hashWords } from "./word-hash.ts";

export interface KitCheck {
  /** Numbers of the two words, from 1, ascending. */
  readonly positions: readonly number[];
  readonly salt: Uint8Array;
  readonly verifier: Uint8Array;
  /** When the words were typed back. */
  readonly confirmedMs?: number;
}

const FORMAT = "costor/kit-check/1";
const KIT_WORDS_COUNT = 24;

const schema = v.strictObject({
  positions: v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(KIT_WORDS_COUNT))), v.length(2)),
  salt: v.instance(Uint8Array),
  verifier: v.instance(Uint8Array),
  confirmedMs: v.optional(v.pipe(v.number(), v.safeInteger())),
});

export const kitCheckPathOf = (siteDirectory: string): string => join(siteDirectory, "kit-check");

/** A check of two words of a new kit. */
export async function makeKitCheck(words: readonly string[]): Promise<KitCheck> {
  const first = randomInt(1, KIT_WORDS_COUNT);
  const second = randomInt(first + 1, KIT_WORDS_COUNT + 1);
  const salt = randomBytes(16);
  const verifier = await hashWords([words[first - 1]!, words[second - 1]!], salt);
  return { positions: [first, second], salt, verifier };
}

export const encodeKitCheck = (check: KitCheck): Buffer => sealEnvelope(FORMAT, { ...check });

/** Throws `identity-damaged`. */
export const readKitCheck = (siteDirectory: string): Promise<KitCheck> =>
  readEnvelope(kitCheckPathOf(siteDirectory), FORMAT, schema);

/**
 * Records that the words at the check's positions were typed back. Words at other positions are not looked at.
 * Throws `kit-wrong-word`, or `bad-usage` when one of the two is not among `words` (from position to word).
 */
export async function confirmKit(
  siteDirectory: string,
  words: ReadonlyMap<number, string>,
  nowMs: number,
): Promise<KitCheck> {
  const check = await readKitCheck(siteDirectory);
  const given = check.positions.map((position) => words.get(position));
  if (given.includes(undefined)) {
    throw new CostorError("bad-usage", `words ${check.positions.join(" and ")} of the recovery kit are asked for`);
  }
  const hash = await hashWords(given as string[], check.salt);
  if (!timingSafeEqual(hash, check.verifier)) {
    throw new CostorError(
      "kit-wrong-word",
      `words ${check.positions.join(" and ")} are not those of this site's recovery kit`,
    );
  }
  const confirmed: KitCheck = { ...check, confirmedMs: check.confirmedMs ?? nowMs };
  await replaceDurably(kitCheckPathOf(siteDirectory), encodeKitCheck(confirmed));
  return confirmed;
}
