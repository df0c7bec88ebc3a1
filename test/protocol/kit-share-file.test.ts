/** Goal: a share's file comes back whole, and what was changed in it is named. Method: any names, and each field changed. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { isCostorError } from "#protocol/errors.ts";
import { deriveRecoveryKey, fingerprintOf, siteIdOf } from "#protocol/keys.ts";
import { type HeldShare, formatShare, isShareText, parseShare } from "#protocol/kit-share-file.ts";
import { splitKitRoot } from "#protocol/kit-share.ts";
import { suite } from "#test/support/suite.ts";

const root = Buffer.alloc(32, 5);
const { publicKey } = deriveRecoveryKey(root);

async function heldShare(holder: string, siteName: string): Promise<HeldShare> {
  const [share] = await splitKitRoot(root, 2, 3);
  return { share: share!, holder, siteName, siteId: siteIdOf(publicKey), fingerprint: fingerprintOf(publicKey) };
}

const test = suite("kit share file");

test("a share comes back from its file, whatever the names are", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "binary", maxLength: 60 }),
      fc.string({ unit: "binary", maxLength: 60 }),
      async (holder, siteName) => {
        const held = await heldShare(holder, siteName);
        const text = formatShare(held);
        assert.ok(isShareText(text));
        assert.deepEqual(parseShare(text.replaceAll("\n", "\r\n")), held);
      },
    ),
    { numRuns: 30 },
  );
});

test("each changed or missing line is named", async () => {
  const text = formatShare(await heldShare("Anna Bauer", "Hill School"));
  const cases: [RegExp, string, RegExp][] = [
    [/Anna/, "Anne", /a name or an id was changed/],
    [/Hill/, "Hall", /a name or an id was changed/],
    [/site-id: ./, "site-id: f", /a name or an id was changed/],
    [/fingerprint: \S+/, "fingerprint: 0000", /fingerprint is not that/],
    [/share: 1/, "share: 2", /number is not that/],
    [/any 2/, "any 3", /number is not that/],
    [/share-version: 1/, "share-version: 2", /version 2 of a share/],
    [/"Anna Bauer"/, "Anna Bauer", /quotation marks, such as holder/],
    [/ 36 [a-z]+/, "", /36 words, and here are 35/],
    ...["site", "site-id", "fingerprint", "holder", "share", "words", "checksum"].map(
      (name): [RegExp, string, RegExp] => [
        new RegExp(`^${name}:`, "m"),
        "# ",
        new RegExp(`"${name}:" is missing|not of a recovery kit`),
      ],
    ),
  ];
  for (const [wrong, instead, says] of cases) {
    const changed = text.replace(wrong, instead);
    assert.notEqual(changed, text, String(wrong));
    assert.throws(
      () => parseShare(changed),
      (error) => isCostorError(error, "kit-invalid") && says.test(error.message),
      String(wrong),
    );
  }
  assert.throws(
    () => parseShare(text.replace(/site-id: .*/, "site-id: 12")),
    (error) => isCostorError(error, "bad-id"),
  );
});

test.run();
