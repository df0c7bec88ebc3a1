/**
 * A recovery kit in n shares of which any m make it again (Shamir's scheme), and fewer tell nothing. docs/specs/keys.md
 *
 * The scheme itself makes some key of any shares, right or wrong. So each share says of which set it is and carries a check of
 * the recovery key: shares that are damaged, mixed, too few or altered are told, each by its number.
 */
import { createHash, randomBytes } from "node:crypto";
import { combine, split } from "shamir-secret-sharing";
import { CostorError } from "./errors.ts";
import { deriveRecoveryKey, kitRootBytes } from "./keys.ts";
import { kitInvalid as invalid } from "./kit-fields.ts";
import { bytesOfWords, readWords, wordsOfBytes } from "./kit-words.ts";
import { limits } from "./limits.ts";

export interface KitShare {
  /** Of the set, 4 random bytes in hex: shares of different sets do not go together. */
  readonly setId: string;
  /** How many make the kit again. */
  readonly threshold: number;
  readonly count: number;
  /** 1 … count. */
  readonly number: number;
  /** The first 4 bytes of the SHA-256 of the recovery public key, in hex. */
  readonly keyCheck: string;
  /** 32 values of the polynomials and the place at which they were taken. */
  readonly part: Uint8Array;
}

/** A share, and how people call it. */
export interface NamedShare {
  readonly share: KitShare;
  readonly holder?: string;
}

const VERSION = 1;
const SET_ID_BYTES = 4;
const CHECK_BYTES = 4;
const PART_BYTES = kitRootBytes + 1;
const HEAD_BYTES = 4 + SET_ID_BYTES + CHECK_BYTES;
const SHARE_BYTES = HEAD_BYTES + PART_BYTES + CHECK_BYTES;
export const shareWordsCount = Math.ceil((SHARE_BYTES * 8) / 11);

const checkOf = (...parts: readonly Uint8Array[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest().subarray(0, CHECK_BYTES);
const keyCheckOf = (kitRoot: Uint8Array): string => checkOf(deriveRecoveryKey(kitRoot).publicKey).toString("hex");

/** Throws `limit-exceeded` for more shares than are useful, and `bad-request` unless 2 ≤ threshold ≤ count. */
export async function splitKitRoot(kitRoot: Uint8Array, threshold: number, count: number): Promise<KitShare[]> {
  if (count > limits.kitSharesCount)
    throw new CostorError("limit-exceeded", `a kit is split into at most ${limits.kitSharesCount} shares`);
  if (!(Number.isInteger(threshold) && Number.isInteger(count) && threshold >= 2 && threshold <= count))
    throw new CostorError("bad-request", "of the shares at least two are needed, and not more than there are");
  const setId = randomBytes(SET_ID_BYTES).toString("hex");
  const keyCheck = keyCheckOf(kitRoot);
  const parts = await split(Uint8Array.from(kitRoot), count, threshold);
  return parts.map((part, index) => ({ setId, threshold, count, number: index + 1, keyCheck, part }));
}

/** The share's words. */
export function wordsOfShare({ setId, threshold, count, number, keyCheck, part }: KitShare): string[] {
  const body = Buffer.concat([
    Buffer.of(VERSION, threshold, count, number),
    Buffer.from(setId + keyCheck, "hex"),
    part,
  ]);
  return wordsOfBytes(Buffer.concat([body, checkOf(body)]));
}

/** Reads words as {@link readWords} does. Throws `kit-invalid` for what is no share or was damaged. */
export function shareOfWords(text: string): KitShare {
  const words = readWords(text);
  if (words.length !== shareWordsCount)
    throw invalid(`a share has ${shareWordsCount} words, and here are ${words.length}`, { count: words.length });
  const bytes = bytesOfWords(words, SHARE_BYTES);
  const body = bytes?.subarray(0, SHARE_BYTES - CHECK_BYTES);
  if (body === undefined || !checkOf(body).equals(bytes!.subarray(SHARE_BYTES - CHECK_BYTES)))
    throw invalid("each word of the share is in the list, but one is wrong, or two have changed places");
  const [version, threshold, count, number] = body as unknown as [number, number, number, number];
  if (version !== VERSION) throw invalid(`the share is of version ${version}, which is unknown here`);
  if (threshold < 2 || threshold > count || count > limits.kitSharesCount || number < 1 || number > count)
    throw invalid("the share's numbers cannot be");
  return {
    setId: body.toString("hex", 4, 4 + SET_ID_BYTES),
    threshold,
    count,
    number,
    keyCheck: body.toString("hex", 4 + SET_ID_BYTES, HEAD_BYTES),
    part: Uint8Array.from(body.subarray(HEAD_BYTES)),
  };
}

/** Such as: share 2 of 5 (Anna Bauer). */
export const nameOfShare = ({ share: { number, count }, holder }: NamedShare): string =>
  `share ${number} of ${count}${holder === undefined ? "" : ` (${holder})`}`;

/**
 * The kit root. The same share twice does no harm. Throws `kit-invalid` that names the shares which are of another set, or were altered,
 * and says how many are missing.
 */
export async function combineShares(given: readonly NamedShare[]): Promise<Uint8Array> {
  const shares = distinct(given);
  const [first] = shares;
  if (first === undefined) throw invalid("no share was given");
  const strangers = shares.filter(({ share }) => setOf(share) !== setOf(first.share));
  if (strangers.length > 0)
    throw invalid(
      `these shares are not of one set: ${[...Map.groupBy(shares, ({ share }) => setOf(share)).values()]
        .map((set) => set.map(nameOfShare).join(", "))
        .join("; and ")}`,
    );
  const { threshold } = first.share;
  if (shares.length < threshold)
    throw invalid(
      `${threshold} shares are needed, and here ${shares.length === 1 ? "is" : "are"} ${shares.map(nameOfShare).join(", ")}`,
      { missingCount: threshold - shares.length },
    );
  for (const subset of subsetsOf(shares, threshold)) {
    const kitRoot = await rightRootOf(subset);
    if (kitRoot === undefined) continue;
    const altered = await alteredAmong(shares, subset);
    if (altered.length === 0) return kitRoot;
    kitRoot.fill(0);
    throw invalid(`the kit can be made without ${altered.map(nameOfShare).join(", ")}: leave that out, it was altered`);
  }
  throw invalid(
    shares.length === threshold
      ? `one of them was altered: ${shares.map(nameOfShare).join(", ")}; give one more, and it is found`
      : `too many of them were altered: ${shares.map(nameOfShare).join(", ")}`,
  );
}

/** Each share once. */
function distinct(given: readonly NamedShare[]): NamedShare[] {
  const byPart = new Map(given.map((named) => [wordsOfShare(named.share).join(" "), named]));
  return [...byPart.values()];
}

const setOf = ({ setId, threshold, count, keyCheck }: KitShare): string => `${setId}/${threshold}/${count}/${keyCheck}`;

/** Undefined when the key that they make is not the one that they were made of. */
async function rightRootOf(shares: readonly NamedShare[]): Promise<Uint8Array | undefined> {
  // Two with one place cannot be combined: one of them was altered.
  if (new Set(shares.map(({ share }) => share.part.at(-1))).size < shares.length) return undefined;
  if (shares.some(({ share }) => share.part.at(-1) === 0)) return undefined;
  const kitRoot = await combine(shares.map(({ share }) => share.part));
  return keyCheckOf(kitRoot) === shares[0]!.share.keyCheck ? kitRoot : undefined;
}

/** Those that make no kit together with all but one of the right ones. */
async function alteredAmong(shares: readonly NamedShare[], right: readonly NamedShare[]): Promise<NamedShare[]> {
  const altered: NamedShare[] = [];
  for (const share of shares) {
    if (right.includes(share)) continue;
    const kitRoot = await rightRootOf([share, ...right.slice(1)]);
    if (kitRoot === undefined) altered.push(share);
    kitRoot?.fill(0);
  }
  return altered;
}

function* subsetsOf<T>(items: readonly T[], count: number): Generator<T[]> {
  if (count === 0) return yield [];
  for (let index = 0; index + count <= items.length; index++)
    for (const rest of subsetsOf(items.slice(index + 1), count - 1)) yield [items[index]!, ...rest];
}
