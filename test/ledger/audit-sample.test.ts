/** Goal: an audit asks for any prime as likely as for any other, and a loss of 1 % is found within a week. Method: counts over many seeds. */
import assert from "node:assert/strict";
import { addAudit, auditAnswer, countAnswers, drawIndexes, failsAudit } from "#ledger/audit-sample.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("audit-sample");
const holder = sampleSiteId("holder");

test("so many distinct indexes are drawn, ascending, and all of a small set", () => {
  const rng = new SeededRng(1);
  for (const count of [0, 1, 63, 64, 65, 1000]) {
    const drawn = drawIndexes(count, 64, rng);
    assert.equal(new Set(drawn).size, Math.min(count, 64));
    assert.ok(drawn.every((index, at) => index >= 0 && index < count && (at === 0 || drawn[at - 1]! < index)));
  }
});

test("every index is drawn as often as any other", () => {
  const rng = new SeededRng(2);
  const counts = new Array<number>(100).fill(0);
  const draws = 4000;
  for (let draw = 0; draw < draws; draw++) for (const index of drawIndexes(100, 10, rng)) counts[index]!++;
  const expected = draws / 10;
  // A sum of 100 squares of about normal deviations: 4 deviations above its mean.
  const squares = counts.reduce((sum, count) => sum + (count - expected) ** 2 / (expected * 0.9), 0);
  assert.ok(squares < 100 + 4 * Math.sqrt(200), `chi-squared ${squares}`);
});

test("a holder that dropped 1 % is found within seven nights in 98 of 100 cases", () => {
  const [count, trials] = [10_000, 4000];
  let found = 0;
  for (let trial = 0; trial < trials; trial++) {
    const rng = new SeededRng(trial);
    const dropped = new Set(drawIndexes(count, count / 100, rng));
    const nights = Array.from({ length: 7 }, () => drawIndexes(count, 64, rng));
    if (nights.some((night) => night.some((index) => dropped.has(index)))) found++;
  }
  assert.ok(found / trials >= 0.98, `found in ${found} of ${trials}`);
});

test("a wrong answer and an admitted lack count as wrong, a missing one as silent", () => {
  const nonce = Buffer.alloc(32, 7);
  const primes = ["a", "b", "c", "d", "e"].map((text) => Buffer.from(text));
  const expected = primes.map((stored) => auditAnswer(nonce, holder, stored));
  const answers = [expected[0], expected[0], null, undefined, expected[4]!.subarray(0, 31)];
  assert.deepEqual(countAnswers(expected, answers), { askedCount: 5, rightCount: 1, wrongCount: 3, silentCount: 1 });
});

test("an answer is good for its nonce and its holder alone", () => {
  const stored = Buffer.from("stored");
  const answer = auditAnswer(Buffer.alloc(32, 1), holder, stored);
  assert.notDeepEqual(answer, auditAnswer(Buffer.alloc(32, 2), holder, stored));
  assert.notDeepEqual(answer, auditAnswer(Buffer.alloc(32, 1), sampleSiteId("other"), stored));
});

test("counts add up for thirty days and then start anew", () => {
  const day = 24 * 3_600_000;
  const wrong = { askedCount: 64, rightCount: 63, wrongCount: 1, silentCount: 0 };
  const right = { askedCount: 64, rightCount: 64, wrongCount: 0, silentCount: 0 };
  let record = addAudit(undefined, wrong, 0);
  for (let night = 1; night < 30; night++) {
    record = addAudit(record, right, night * day);
    assert.ok(failsAudit(record), "one good night does not undo a bad one");
  }
  assert.equal(record.askedCount, 64 * 30);
  assert.ok(!failsAudit(addAudit(record, right, 30 * day)));
});

test("silence for three nights tells against a holder", () => {
  const silent = { askedCount: 64, rightCount: 0, wrongCount: 0, silentCount: 64 };
  let record = addAudit(undefined, silent, 0);
  assert.ok(!failsAudit(record));
  record = addAudit(addAudit(record, silent, 1), silent, 2);
  assert.ok(failsAudit(record));
});

test.run();
