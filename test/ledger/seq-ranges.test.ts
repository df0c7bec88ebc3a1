/** Goal: ranges are what sets of numbers are. Method: vectors for the reader; random sets beside JavaScript's own. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { isCostorError } from "#protocol/errors.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("seq ranges");

const rangesOf = (numbers: Iterable<number>): SeqRanges => {
  const ranges = SeqRanges.empty();
  for (const number of numbers) ranges.add(number);
  return ranges;
};
const numbers = fc.array(fc.nat({ max: 60 }), { maxLength: 40 });

test("a set has what was added, in ranges that are ascending and apart", () => {
  fc.assert(
    fc.property(numbers, (added) => {
      const ranges = rangesOf(added);
      const expected = [...new Set(added)].sort((a, b) => a - b);
      assert.deepEqual([...ranges], expected);
      assert.deepEqual(
        [ranges.count, ranges.last, ranges.isEmpty],
        [expected.length, expected.at(-1), added.length === 0],
      );
      for (let number = 0; number <= 61; number++) assert.equal(ranges.has(number), expected.includes(number));
      assert.deepEqual(SeqRanges.parse(ranges.ranges, 100).ranges, ranges.ranges);
    }),
  );
});

test("ranges are added, taken away, contained and cut as sets are", () => {
  fc.assert(
    fc.property(numbers, numbers, fc.nat({ max: 60 }), (one, other, last) => {
      const [left, right] = [rangesOf(one), rangesOf(other)];
      assert.deepEqual(
        [...left.without(right)],
        [...new Set(one)].filter((number) => !other.includes(number)).sort((a, b) => a - b),
      );
      assert.equal(
        left.contains(right),
        other.every((number) => one.includes(number)),
      );
      assert.deepEqual(
        [...left.upTo(last)],
        [...left].filter((number) => number <= last),
      );
      const both = left.copy();
      both.addAll(right);
      assert.deepEqual(both.ranges, rangesOf([...one, ...other]).ranges);
      assert.deepEqual(left.ranges, rangesOf(one).ranges, "the copy is its own");
    }),
  );
});

test("what is no ascending list of ranges that are apart is refused", () => {
  const bad: unknown[] = [
    undefined,
    {},
    [1],
    [[1]],
    [[1, 2, 3]],
    [[2, 1]],
    [[-1, 2]],
    [
      [0, 1],
      [2, 3],
    ],
    [
      [5, 6],
      [1, 2],
    ],
  ];
  bad.push(
    [[0, 2 ** 53]],
    [[0.5, 1]],
    [["0", "1"]],
    [[0n, 1n]],
    Array.from({ length: 5 }, (_, at) => [at * 4, at * 4]),
  );
  for (const value of bad)
    assert.throws(
      () => SeqRanges.parse(value, 4),
      (error) => isCostorError(error, "bad-encoding"),
      JSON.stringify(value, String),
    );
});

test.run();
