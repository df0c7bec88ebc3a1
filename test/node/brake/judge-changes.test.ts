/** Goal: what ransomware does is told from what people do. Method: one case each, real content, and numbers at the bounds. */
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { HEAD_BYTES, readHead } from "#node/brake/file-heads.ts";
import { type ChangeCounts, judgeChanges } from "#node/brake/judge-changes.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("judge-changes");

const heads = (count: number, knownKindCount: number, compressibleCount = knownKindCount) => ({
  ...{ count, knownKindCount, compressibleCount },
});
const quiet: ChangeCounts = {
  ...{ filesBefore: 1000, changedCount: 20, addedCount: 10, removedCount: 5 },
  ...{ before: heads(25, 20), after: heads(30, 25) },
};

for (const [what, changes] of Object.entries<Partial<ChangeCounts>>({
  "an ordinary day": {},
  "a holiday": { changedCount: 0, addedCount: 0, removedCount: 0, before: heads(0, 0), after: heads(0, 0) },
  "a folder that was moved": {
    changedCount: 0,
    addedCount: 900,
    removedCount: 900,
    before: heads(64, 60),
    after: heads(64, 60),
  },
  "many new pictures": { addedCount: 5000, after: heads(64, 64, 0) },
  "a few files that were encrypted on purpose": { changedCount: 0, addedCount: 9, removedCount: 9, after: heads(9, 0) },
  "a third of the files edited": { changedCount: 333, before: heads(64, 60), after: heads(64, 60) },
}))
  test(`${what} raises no alarm`, () => {
    assert.deepEqual(judgeChanges({ ...quiet, ...changes }), []);
  });

test("files that are encrypted in place lose their kinds, and what was text is noise", () => {
  const changes = { ...quiet, changedCount: 500, before: heads(64, 60, 40), after: heads(64, 1, 0) };
  assert.deepEqual(judgeChanges(changes), ["mass-change", "types-lost", "incompressible"]);
});

test("files that are replaced by encrypted ones under other names are found by what they hold", () => {
  const changes = { ...quiet, changedCount: 0, addedCount: 100, removedCount: 100, before: heads(64, 60, 10) };
  assert.deepEqual(judgeChanges({ ...changes, after: heads(64, 2, 0) }), ["types-lost"]);
});

test("two files of five that are deleted are too many", () => {
  assert.deepEqual(judgeChanges({ ...quiet, changedCount: 0, removedCount: 409, addedCount: 9 }), ["mass-change"]);
  assert.deepEqual(judgeChanges({ ...quiet, changedCount: 0, removedCount: 408, addedCount: 9 }), []);
});

const text = Buffer.from("Die Schülerinnen und Schüler der Klasse 3b fahren am Montag nach Bozen.\n".repeat(400));
const pdf = Buffer.concat([Buffer.from("%PDF-1.7\n"), noise("pdf", 20_000)]);
const pngStart = `89504e470d0a1a0a0000000d49484452${"00".repeat(17)}00004e2049444154`;
const png = Buffer.concat([Buffer.from(pngStart, "hex"), noise("png", 20_000)]);
const zip = Buffer.concat([
  Buffer.from("504b03041400000008000000210000000000000000000000000013000000", "hex"),
  noise("z", 20_000),
]);
const encrypted = (plain: Buffer): Buffer =>
  createCipheriv("aes-256-ctr", noise("key", 32), noise("iv", 16)).update(plain);

for (const [what, content, isCompressible] of [
  ["text", text, true],
  ["a PDF", pdf, false],
  ["a picture", png, false],
  ["a document that is an archive", zip, false],
] as const)
  test(`${what} is known by its beginning, and no more once it is encrypted`, async () => {
    assert.deepEqual(await readHead(content.subarray(0, HEAD_BYTES)), { isKnownKind: true, isCompressible });
    const after = await readHead(encrypted(content).subarray(0, HEAD_BYTES));
    assert.deepEqual(after, { isKnownKind: false, isCompressible: false });
  });

test("text that is cut within a character is text, and a short file says nothing", async () => {
  for (let cut = 1; cut <= 4; cut++)
    assert.equal((await readHead(Buffer.from("ü€𝄞".repeat(200)).subarray(0, 1000 + cut)))?.isKnownKind, true);
  assert.equal(await readHead(text.subarray(0, 100)), undefined);
});

test("of a thousand heads of noise next to none passes for a known kind", async () => {
  let knownCount = 0;
  for (let at = 0; at < 1000; at++) if ((await readHead(noise(`n${at}`, 300)))?.isKnownKind) knownCount++;
  assert.ok(knownCount <= 20, `${knownCount}`);
});

test.run();
