/**
 * Two sets of ids are compared through encoded questions and answers, as between sites: any two end in exactly what each has alone, in few
 * rounds and bytes, and a holder that lies is bounded.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { PrimeFingerprints, tagsOf } from "#ledger/prime-fingerprints.ts";
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import { decodeQuestion, encodeAnswer, encodeQuestion } from "#ledger/reconcile-messages.ts";
import { reconcile } from "#ledger/reconcile.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import type { CborValue } from "#protocol/cbor.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { hasCode } from "#test/conformance/prime-store.ts";
import { count } from "#test/support/level.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";
import { suite } from "#test/support/suite.ts";
import { type Comparison, compareSets, numberedIds } from "./compared-sets.ts";

const test = suite("reconciling sets", { timeoutMs: count(120_000, 1_800_000) });
const key = createHash("sha256").update("key").digest();

const without = (ids: readonly PrimeId[], other: readonly PrimeId[]): PrimeId[] => {
  const known = new Set(other);
  return ids.filter((id) => !known.has(id)).toSorted();
};

async function checkExact(own: readonly PrimeId[], theirs: readonly PrimeId[], prefixes = [""]): Promise<Comparison> {
  const comparison = await compareSets(key, own, theirs, prefixes);
  assert.deepEqual(comparison.missing.toSorted(), without(own, theirs));
  assert.deepEqual(comparison.extra.toSorted(), without(theirs, own));
  return comparison;
}

/** Ids that share so many first digits as whoever makes them likes. */
const anyId = fc
  .tuple(fc.constantFrom("", "abc", "abcdef01", "abcdef0123456789"), fc.nat(400))
  .map(([prefix, seed]) => {
    const rest = createHash("sha256").update(String(seed)).digest("hex");
    return (prefix + rest).slice(0, 64) as PrimeId;
  });

test("any two sets end in exactly what each has alone", async () => {
  const ids = fc.uniqueArray(fc.record({ id: anyId, side: fc.constantFrom("own", "theirs", "both") }), {
    selector: ({ id }) => id,
    maxLength: 300,
  });
  const property = fc.asyncProperty(ids, async (all) => {
    const own = all.flatMap(({ id, side }) => (side === "theirs" ? [] : [id]));
    const theirs = all.flatMap(({ id, side }) => (side === "own" ? [] : [id]));
    await checkExact(own.toSorted(), theirs.toSorted());
  });
  await fc.assert(property, { numRuns: count(60, 2000) });
});

test("large sets end exactly too, at every number of differences on either side", async () => {
  const all = numberedIds(0, 30_000);
  const more = numberedIds(30_000, 32_000);
  for (const [missingCount, extraCount] of [
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
    [7, 5],
    [400, 0],
    [0, 400],
    [2000, 2000],
  ] as const) {
    const theirs = [...all.slice(missingCount), ...more.slice(0, extraCount)].toSorted();
    await checkExact(all.toSorted(), theirs);
  }
  await checkExact(all.toSorted(), []);
  await checkExact([], all.slice(0, 3000).toSorted());
  await checkExact(all.toSorted(), all.slice(0, 20).toSorted());
});

test("a hundred thousand ids with ten differences take a few kilobytes, and none take none", async () => {
  const all = numberedIds(0, 100_000).toSorted();
  const equal = await checkExact(all, all);
  assert.ok(equal.bytes <= 60 && equal.roundsCount === 1, `${equal.bytes} bytes`);
  const theirs = all.filter((_, at) => at % 10_000 !== 7);
  const few = await checkExact(all, theirs);
  assert.ok(few.bytes < 10_000 && few.roundsCount <= 6, `${few.bytes} bytes, ${few.roundsCount} rounds`);
  const [slice] = all;
  const one = await checkExact(
    all.filter((id) => id[0] === slice![0]),
    all.filter((id) => id[0] === slice![0] && id !== slice),
    [slice![0]!],
  );
  assert.ok(one.roundsCount <= 4);
});

test("fingerprints follow what is added and removed", () => {
  const ids = numberedIds(0, 2000);
  const grown = new PrimeFingerprints({ key });
  grown.add(ids.slice(0, 1500));
  grown.add(ids.slice(1500));
  grown.remove(ids.slice(0, 700));
  const made = new PrimeFingerprints({ key });
  made.add(ids.slice(700));
  for (const prefix of ["", "0", "f", "3a", "ff", "000", "abc", "fff"])
    assert.deepEqual(grown.of(prefix), made.of(prefix));
  assert.equal(grown.of("").count, 1300);
});

test("fingerprints of one key say nothing under another", async () => {
  const ids = numberedIds(0, 50);
  const other = createHash("sha256").update("other").digest();
  assert.notDeepEqual(tagsOf(key, ids), tagsOf(other, ids));
});

test("a holder that always differs is given up at a limit, and none of its ids is taken that has not the tag asked for", async () => {
  const set = setOfList(key, numberedIds(0, 1000).toSorted());
  let state = 1;
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
  const lying = async (question: Uint8Array): Promise<Uint8Array> => {
    const { sums, below, finds } = decodeQuestion(question);
    const fingerprint = () => ({ high: next(), low: next(), count: 1_000_000 });
    return encodeAnswer({
      sums: sums.map(fingerprint),
      below: below.map(() => ({ children: Array.from({ length: 16 }, fingerprint) })),
      finds: finds.map(() => ({ below: { tags: [] } })),
    });
  };
  const drain = async (ask: typeof lying) => {
    for await (const _ of reconcile({ set, ask }, { prefixes: [""] }));
  };
  await assert.rejects(drain(lying), hasCode("limit-exceeded"));
  const inventing = async (question: Uint8Array): Promise<Uint8Array> => {
    const { sums, below, finds } = decodeQuestion(question);
    return encodeAnswer({
      sums: sums.map(() => ({ high: 1, low: 1, count: 1 })),
      below: below.map(() => ({ tags: [5n] })),
      finds: finds.map(({ prefix }) => ({ id: prefix.padEnd(64, "0") as PrimeId })),
    });
  };
  await assert.rejects(drain(inventing), hasCode("bad-encoding"));
});

test("questions and answers that are none are refused", async () => {
  const set = setOfList(key, numberedIds(0, 100).toSorted());
  const bad: (readonly [CborValue, string])[] = [
    [[], "bad-encoding"],
    [{ x: Buffer.alloc(0) }, "bad-encoding"],
    [{ b: 1 }, "bad-encoding"],
    [{ b: Buffer.from("17", "hex") }, "bad-encoding"],
    [{ b: Buffer.from("0301", "hex") }, "bad-encoding"],
    [{ b: Buffer.from("0101", "hex") }, "bad-encoding"],
    [{ f: Buffer.from("0110aa", "hex") }, "bad-encoding"],
    [{ s: Buffer.alloc(limits.reconcileAskedCount + 1) }, "limit-exceeded"],
    [{ f: Buffer.concat([Buffer.of(0), Buffer.alloc(8)]) }, "limit-exceeded"],
  ];
  for (const [question, code] of bad) await assert.rejects(answerQuestion(set, encodeCbor(question)), hasCode(code));
  await assert.rejects(answerQuestion(set, Buffer.of(0xff)), hasCode("bad-encoding"));

  const answers: CborValue[] = [
    {},
    { s: Buffer.alloc(8) },
    { s: Buffer.alloc(10) },
    { s: Buffer.concat([Buffer.alloc(8), Buffer.from("8000", "hex")]) },
    { s: Buffer.concat([Buffer.alloc(8), Buffer.from("ffffffffff7f", "hex")]) },
  ];
  for (const answer of answers) {
    const ended = async () => {
      for await (const _ of reconcile({ set, ask: async () => encodeCbor(answer) }, { prefixes: [""] }));
    };
    await assert.rejects(ended, hasCode("bad-encoding"));
  }
});

for (const { comment, question, answer } of readVectors<{ comment: string; question: string; answer: string }>(
  "reconciling",
))
  test(`vector: ${comment}`, async () => {
    const ids = Array.from(
      { length: 700 },
      (_, at) => createHash("sha256").update(`id ${at}`).digest("hex") as PrimeId,
    );
    const set = setOfList(createHash("sha256").update("reconciling").digest(), ids.toSorted());
    assert.deepEqual(encodeQuestion(decodeQuestion(fromHex(question))).toString("hex"), question);
    assert.equal((await answerQuestion(set, fromHex(question))).toString("hex"), answer);
  });

test("an answer lists tags in ascending order", async () => {
  const ids = numberedIds(0, 20).toSorted();
  const answer = await answerQuestion(setOfList(key, ids), encodeQuestion({ sums: [], below: [""], finds: [] }));
  const tags = tagsOf(key, ids).toSorted((left, right) => (left < right ? -1 : 1));
  const expected = Buffer.concat([
    Buffer.of(21),
    ...tags.map((tag) => Buffer.from(tag.toString(16).padStart(16, "0"), "hex")),
  ]);
  assert.deepEqual(answer, encodeCbor({ b: expected }));
});

test("what a question asks survives its encoding", () => {
  const question = {
    sums: ["", "a"],
    below: ["00", "abc", "abcdef0123456789"],
    finds: [{ prefix: "123", tag: 0xffff_ffff_ffff_fffen }],
  };
  assert.deepEqual(decodeQuestion(encodeQuestion(question)), question);
});

test("a set that has more below a prefix than fits in memory is refused where its tags are asked for", async () => {
  const ids = Array.from(
    { length: limits.reconcileLeafIdsCount + 1 },
    (_, at) => `abc${at.toString(16).padStart(61, "0")}` as PrimeId,
  );
  const set = setOfList(key, ids);
  await assert.rejects(set.tagged("abc"), hasCode("limit-exceeded"));
  assert.equal((await set.children("abc"))[0]!.count, ids.length);
});

test("a holder with more ids too many than a comparison takes is refused", async () => {
  const set = setOfList(key, []);
  const byTag = new Map<bigint, PrimeId>();
  const fingerprint = { high: 1, low: 1, count: 100 };
  const tagsBelow = (prefix: string): bigint[] => {
    const ids = Array.from({ length: 32 }, (_, at) => `${prefix}${at}`.padEnd(64, "0") as PrimeId);
    const tags = tagsOf(key, ids);
    for (const [at, tag] of tags.entries()) byTag.set(tag, ids[at]!);
    return tags;
  };
  const ask = async (question: Uint8Array): Promise<Uint8Array> => {
    const { sums, below, finds } = decodeQuestion(question);
    return encodeAnswer({
      sums: sums.map(() => fingerprint),
      below: below.map((prefix) =>
        prefix.length < 4 ? { children: Array.from({ length: 16 }, () => fingerprint) } : { tags: tagsBelow(prefix) },
      ),
      finds: finds.map(({ tag }) => ({ id: byTag.get(tag)! })),
    });
  };
  let extrasCount = 0;
  await assert.rejects(async () => {
    for await (const difference of reconcile({ set, ask }, { prefixes: [""] }))
      if ("extra" in difference) extrasCount += difference.extra.length;
  }, hasCode("limit-exceeded"));
  assert.ok(extrasCount > 0 && extrasCount <= limits.reconcileExtrasCount);
});

test.run();
