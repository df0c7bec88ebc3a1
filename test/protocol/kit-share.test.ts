/**
 * Goal: any m of n shares make the kit again, fewer or wrong ones are refused by name. Method: vectors that Python has made, all
 * subsets of real splits, and shares that are damaged, mixed, or altered by somebody who knows the format.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import * as fc from "fast-check";
import { isCostorError } from "#protocol/errors.ts";
import { type KitShare, combineShares, shareOfWords, splitKitRoot, wordsOfShare } from "#protocol/kit-share.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

type Case = { readonly comment: string; readonly shares: readonly (readonly number[])[] } & (
  | {
      readonly says?: undefined;
      readonly kitRoot: string;
      readonly threshold: number;
      readonly count: number;
      readonly setId: string;
      readonly keyCheck: string;
    }
  | { readonly says: string }
);

const root = fromHex("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210");
const textOf = (numbers: readonly number[]): string => numbers.map((number) => wordlist[number]!).join(" ");
const named = (shares: readonly KitShare[]) =>
  shares.map((share) => ({ share, holder: ["Anna", "Ben", "Cem", "Dora", "Eve"][share.number - 1]! }));
const says = (text: string | RegExp) => (error: unknown) => {
  assert.ok(isCostorError(error, "kit-invalid"), String(error));
  assert.match(error.message, typeof text === "string" ? new RegExp(text) : text);
  return true;
};
const altered = (share: KitShare): KitShare => ({ ...share, part: share.part.with(3, share.part[3]! ^ 1) });

const test = suite("kit shares");

for (const vector of readVectors<Case>("kit-shares")) {
  test(`vector: ${vector.comment}`, async () => {
    if (vector.says !== undefined) {
      assert.throws(() => shareOfWords(textOf(vector.shares[0]!)), says(vector.says));
      return;
    }
    const shares = vector.shares.map((numbers) => shareOfWords(textOf(numbers)));
    for (const [index, share] of shares.entries()) {
      const { setId, threshold, count, keyCheck, number } = share;
      assert.deepEqual(
        { setId, threshold, count, keyCheck, number },
        {
          setId: vector.setId,
          threshold: vector.threshold,
          count: vector.count,
          keyCheck: vector.keyCheck,
          number: index + 1,
        },
      );
      assert.equal(wordsOfShare(share).join(" "), textOf(vector.shares[index]!));
    }
    for (const given of [shares.slice(0, vector.threshold), shares.toReversed().slice(0, vector.threshold)])
      assert.deepEqual(Buffer.from(await combineShares(given.map((share) => ({ share })))), fromHex(vector.kitRoot));
  });
}

test("any m of n shares make the kit again, and m − 1 do not", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.integer({ min: 2, max: 6 }).chain((count) =>
        fc.tuple(
          fc.integer({ min: 2, max: count }),
          fc.shuffledSubarray(
            Array.from({ length: count }, (_, index) => index),
            { minLength: count },
          ),
        ),
      ),
      async (kitRoot, [threshold, order]) => {
        const shares = await splitKitRoot(kitRoot, threshold, order.length);
        const read = order.map((index) => shareOfWords(wordsOfShare(shares[index]!).join(" ")));
        const enough = named(read.slice(0, threshold));
        assert.deepEqual(Buffer.from(await combineShares(enough)), Buffer.from(kitRoot));
        await assert.rejects(combineShares(enough.slice(1)), says(`${threshold} shares are needed`));
      },
    ),
    { numRuns: 30 },
  );
});

test("too few shares are told by their holders", async () => {
  const shares = await splitKitRoot(root, 3, 5);
  await assert.rejects(
    combineShares(named([shares[1]!, shares[4]!])),
    says(/3 shares are needed, and here are share 2 of 5 \(Ben\), share 5 of 5 \(Eve\)/),
  );
  await assert.rejects(combineShares(named([shares[1]!, shares[1]!, shares[1]!])), says("here is share 2 of 5"));
  await assert.rejects(combineShares([]), says("no share was given"));
});

test("shares of two sets are told apart, also when both are of one kit", async () => {
  const [one, other] = [await splitKitRoot(root, 2, 3), await splitKitRoot(root, 2, 3)];
  await assert.rejects(
    combineShares(named([one[0]!, other[1]!, one[2]!])),
    says(/not of one set: share 1 of 3 \(Anna\), share 3 of 3 \(Cem\); and share 2 of 3 \(Ben\)/),
  );
});

test("a share that somebody altered is named, as soon as there is one more than needed", async () => {
  const shares = await splitKitRoot(root, 3, 5);
  const given = [altered(shares[0]!), shares[1]!, shares[2]!];
  await assert.rejects(combineShares(named(given)), says(/one of them was altered: .*give one more/));
  await assert.rejects(combineShares(named([...given, shares[3]!])), says(/without share 1 of 5 \(Anna\): /));
  await assert.rejects(
    combineShares(named([...given, shares[3]!].toReversed())),
    says(/without share 1 of 5 \(Anna\): /),
  );
  await assert.rejects(combineShares(named(shares.map(altered))), says("too many of them were altered"));
  const place = { ...shares[0]!, part: shares[0]!.part.with(32, shares[1]!.part[32]!) };
  await assert.rejects(combineShares(named([place, shares[1]!, shares[2]!])), says("one of them was altered"));
  const zero = { ...shares[0]!, part: shares[0]!.part.with(32, 0) };
  await assert.rejects(combineShares(named([zero, shares[1]!, shares[2]!])), says("one of them was altered"));
});

test("one wrong word of a share is noticed", async () => {
  const [share] = await splitKitRoot(root, 2, 2);
  const words = wordsOfShare(share!);
  for (const index of words.keys()) {
    const other = wordlist[(wordlist.indexOf(words[index]!) + 1 + randomBytes(1)[0]!) % 2048]!;
    assert.throws(() => shareOfWords(words.with(index, other).join(" ")), says(/word|version|numbers/));
  }
  assert.throws(() => shareOfWords(words.with(30, "abandn").join(" ")), says('word 31, "abandn"'));
});

test("one share of the largest split fits, and a larger split is refused", async () => {
  const { kitSharesCount } = limits;
  assert.equal((await splitKitRoot(root, 2, kitSharesCount)).length, kitSharesCount);
  const code = (name: string) => (error: unknown) => isCostorError(error) && error.code === name;
  await assert.rejects(splitKitRoot(root, 2, kitSharesCount + 1), code("limit-exceeded"));
  for (const [threshold, count] of [
    [1, 3],
    [4, 3],
    [2.5, 3],
  ] as const)
    await assert.rejects(splitKitRoot(root, threshold, count), code("bad-request"));
});

test("m − 1 shares leave every first byte of the root possible", async () => {
  const seen = new Set<number>();
  for (let times = 0; times < 64; times++) seen.add((await splitKitRoot(root, 2, 2))[0]!.part[0]!);
  assert.ok(seen.size > 32, `${seen.size} different values`);
});

test.run();
