/** Goal: bundles end as docs/specs/bundles.md says. Method: vectors made in Python, and simulated walks. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { drawBundleEnds, endsBundle } from "#protocol/bundling.ts";
import { limits } from "#protocol/limits.ts";
import { deriveScope } from "#protocol/scope.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly scopeSecret: string;
  readonly content?: string;
  readonly draw: number;
  readonly fileBytes: number;
  readonly bundleBytes: number;
  readonly ends: boolean;
}

/** Bundles of a walk, each as its files' numbers. */
function bundlesOf(
  files: readonly { readonly number: number; readonly draw: number; readonly bytes: number }[],
): { numbers: number[]; bytes: number }[] {
  const bundles = [{ numbers: [] as number[], bytes: 0 }];
  for (const file of files) {
    const bundle = bundles.at(-1)!;
    bundle.numbers.push(file.number);
    bundle.bytes += file.bytes;
    if (endsBundle(file.draw, file.bytes, bundle.bytes)) bundles.push({ numbers: [], bytes: 0 });
  }
  return bundles.slice(0, -1);
}

const makeFiles = (count: number, maxBytes: number) =>
  Array.from({ length: count }, (_, number) => ({
    number,
    draw: randomInt(2 ** 32),
    bytes: randomInt(0, maxBytes + 1),
  }));

const test = suite("bundling");

for (const vector of readVectors<Case>("bundles")) {
  test(`vector: ${vector.comment}`, () => {
    if (vector.content !== undefined) {
      const [draw] = drawBundleEnds(deriveScope(fromHex(vector.scopeSecret)), [fromHex(vector.content)]);
      assert.equal(draw, vector.draw);
    } else assert.equal(endsBundle(vector.draw, vector.fileBytes, vector.bundleBytes), vector.ends);
  });
}

test("contents are drawn for one by one, whatever comes with them", () => {
  const scope = deriveScope(Buffer.alloc(32, 1));
  const contents = Array.from({ length: 300 }, (_, index) => Buffer.from(`content ${index}`));
  const draws = drawBundleEnds(scope, contents);
  assert.deepEqual(
    draws,
    contents.map((content) => drawBundleEnds(scope, [content])[0]),
  );
  assert.equal(new Set(draws).size, draws.length);
  assert.notDeepEqual(drawBundleEnds(deriveScope(Buffer.alloc(32, 2)), contents), draws);
});

test("bundles stay within their bounds whatever the sizes of files", () => {
  for (const maxBytes of [10, 1000, 20_000, limits.smallFileBytes]) {
    for (const { bytes } of bundlesOf(makeFiles(20_000, maxBytes))) {
      assert.ok(
        bytes >= limits.bundleMinBytes && bytes <= limits.bundleMaxBytes,
        `${bytes} bytes with files of up to ${maxBytes}`,
      );
    }
  }
});

test("the average is about 128 KiB for tiny and for middling files", () => {
  for (const [count, maxBytes] of [
    [200_000, 200],
    [20_000, 10_000],
  ] as const) {
    const bundles = bundlesOf(makeFiles(count, maxBytes));
    const averageBytes = bundles.reduce((sum, { bytes }) => sum + bytes, 0) / bundles.length;
    assert.ok(
      averageBytes > 100 * 1024 && averageBytes < 150 * 1024,
      `average ${averageBytes} with files of up to ${maxBytes}`,
    );
  }
});

test("a walk that lacks a directory has equal bundles soon after it", () => {
  const files = makeFiles(10_000, 20_000);
  const lacking = [...files.slice(0, 5000), ...files.slice(5200)];
  const whole = bundlesOf(files).map(({ numbers }) => numbers.join());
  const known = new Set(whole);
  const newCount = bundlesOf(lacking).filter(({ numbers }) => !known.has(numbers.join())).length;
  assert.ok(newCount <= 12, `${newCount} of ${whole.length} bundles are new`);
});

test.run();
