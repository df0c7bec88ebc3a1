/** Goal: a kit comes back from paper and file, and a mistake in it is named. Method: BIP39's published vectors, and mistakes people make. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { isCostorError } from "#protocol/errors.ts";
import { parseFederationId } from "#protocol/ids.ts";
import { deriveRecoveryKey, fingerprintOf, siteIdOf } from "#protocol/keys.ts";
import { type RecoveryKit, formatKit, parseKit } from "#protocol/kit.ts";
import { findWord, kitRootOfWords, nearestWords, readWords, wordsOfKitRoot } from "#protocol/kit-words.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly kitRoot: string;
  readonly words: string | null;
}

const root = fromHex("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210");
const kitOf = (siteName: string, kitRoot: Uint8Array): RecoveryKit => ({
  siteName,
  siteId: siteIdOf(deriveRecoveryKey(kitRoot).publicKey),
  kitRoot,
});
const says =
  (text: string | RegExp, details: Record<string, unknown> = {}) =>
  (error: unknown) => {
    assert.ok(isCostorError(error, "kit-invalid"), String(error));
    assert.match(error.message, typeof text === "string" ? new RegExp(text) : text);
    for (const [key, value] of Object.entries(details)) assert.equal(error.details[key], value);
    return true;
  };

const throwsFor = (action: () => unknown, text: string): boolean => {
  try {
    action();
    return false;
  } catch (error) {
    return String(error).includes(text);
  }
};

const test = suite("recovery kit");

for (const { comment, kitRoot, words } of readVectors<Case>("keys")) {
  if (words === null) continue;
  test(`vector: words of ${comment}`, () => {
    assert.equal(wordsOfKitRoot(fromHex(kitRoot)).join(" "), words);
    assert.deepEqual(Buffer.from(kitRootOfWords(words)), fromHex(kitRoot));
  });
}

test("any root comes back from its words and from its file, whatever the site's name", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.string({ unit: "binary", maxLength: 100 }),
      (kitRoot, siteName) => {
        assert.deepEqual(Buffer.from(kitRootOfWords(wordsOfKitRoot(kitRoot).join(" "))), Buffer.from(kitRoot));
        const kit = parseKit(formatKit(kitOf(siteName, kitRoot)));
        assert.equal(kit.siteName, siteName);
        assert.equal(kit.siteId, siteIdOf(deriveRecoveryKey(kitRoot).publicKey));
        assert.deepEqual(Buffer.from(kit.kitRoot), Buffer.from(kitRoot));
      },
    ),
    { numRuns: 50 },
  );
});

test("words are read in capitals and over several lines", () => {
  const words = wordsOfKitRoot(root);
  assert.deepEqual(
    Buffer.from(kitRootOfWords(`\n ${words.slice(0, 12).join("  ").toUpperCase()}\r\n${words.slice(12).join("\t")}\n`)),
    root,
  );
});

test("a wrong word is named by its number, with the nearest word of the list", () => {
  const words = wordsOfKitRoot(root);
  for (const [typed, suggestion] of [
    ["abandn", "abandon"],
    ["zooo", "zoo"],
    ["recieve", "receive"],
    ["shcool", "school"],
  ] as const) {
    assert.throws(
      () => kitRootOfWords(words.with(6, typed).join(" ")),
      says(`word 7, "${typed}"`, { position: 7, suggestion }),
    );
  }
});

test("every wrong word is named, not only the first", () => {
  const words = wordsOfKitRoot(root);
  assert.throws(
    () => readWords(words.with(2, "xylofone").with(20, "qqqq").join(" ")),
    says(/word 3, "xylofone".*; word 21, "qqqq"/),
  );
});

test("four letters of a word are enough, and three are not", () => {
  const words = wordsOfKitRoot(root);
  const short = words.map((word, index) => (index % 2 === 0 ? word.slice(0, 4).toUpperCase() : word));
  assert.deepEqual(Buffer.from(kitRootOfWords(short.join(" "))), root);
  assert.equal(findWord("acto"), "actor");
  assert.equal(findWord("act"), "act");
  assert.equal(findWord("aba"), undefined);
  assert.equal(findWord("abandonment"), undefined);
  assert.equal(findWord(""), undefined);
});

test("of words that are as near as each other all are suggested, three at most", () => {
  assert.deepEqual(nearestWords("abandn"), ["abandon"]);
  assert.deepEqual(nearestWords("cale"), ["cable", "cage", "cake"]);
  assert.ok(nearestWords("").length > 0);
});

test("numbers before the words and between them are passed over", () => {
  const words = wordsOfKitRoot(root);
  const typed = words.map((word, index) => `${index + 1}. ${word}`).join("\n");
  assert.deepEqual(Buffer.from(kitRootOfWords(typed)), root);
});

test("too few and too many words are counted", () => {
  const words = wordsOfKitRoot(root);
  assert.throws(() => kitRootOfWords(words.slice(1).join(" ")), says("24 words are expected, not 23"));
  assert.throws(() => kitRootOfWords([...words, "zoo"].join(" ")), says("not 25"));
  assert.throws(() => kitRootOfWords(""), says("not 0"));
});

test("a word exchanged for another of the list is noticed: by the checksum, or in a file by the site's id", () => {
  const words = wordsOfKitRoot(root);
  const text = formatKit(kitOf("Hill School", root));
  let noticed = 0;
  for (const other of wordsOfKitRoot(randomBytes(32))) {
    if (other === words[3]) continue;
    assert.throws(
      () => parseKit(text.replace(` 4 ${words[3]}`, ` 4 ${other}`)),
      says(/together they are not a kit|are not those of site/),
    );
    noticed++;
  }
  assert.ok(noticed > 10);
});

test("with a file's fingerprint the wrong word is named by its number, and so are two that changed places", () => {
  const words = wordsOfKitRoot(root);
  const lines = formatKit(kitOf("Hill School", root));
  const withWords = (changed: readonly string[]) =>
    lines.replace(/words:[^]*(?=checksum)/, `words:\n${changed.join(" ")}\n`);
  const failing = (changed: readonly string[]) =>
    throwsFor(() => kitRootOfWords(changed.join(" ")), "one is wrong, or two have changed places");
  for (const index of [0, 11, 23]) {
    const changed = ["zoo", "abandon", "letter"].map((word) => words.with(index, word)).find(failing)!;
    assert.throws(() => parseKit(withWords(changed)), says(`not a kit: word ${index + 1} is wrong`));
  }
  const swapped = [1, 2, 3, 4].map((at) => words.with(at, words[20]!).with(20, words[at]!)).find(failing)!;
  const at = swapped.findIndex((word, index) => word !== words[index]);
  assert.throws(() => parseKit(withWords(swapped)), says(`words ${at + 1} and 21 have changed places`));
  const two = words.with(2, "zoo").with(9, "abandon");
  assert.throws(() => parseKit(withWords(two)), says(/one is wrong, or two|not those of site|fingerprint/));
});

test("each changed, missing or repeated line is named", () => {
  const text = formatKit(kitOf("Hill School", root));
  assert.throws(() => parseKit(text.replace("Hill", "Hall")), says("checksum is wrong"));
  assert.throws(() => parseKit(text.replace("version: 1", "version: 2")), says("version 2 is unknown"));
  assert.throws(() => parseKit(text.replace(/site-id: ./, "site-id: x")), says("are not those of site x"));
  assert.throws(() => parseKit(text.replace(/fingerprint: .*/, "fingerprint: 0000")), says("fingerprint"));
  for (const name of ["version", "site", "site-id", "fingerprint", "checksum"]) {
    assert.throws(
      () => parseKit(text.replace(new RegExp(`^${name}: .*$`, "m"), "")),
      says(`the line "${name}:" is missing`),
    );
  }
  assert.throws(() => parseKit(`${text}\nversion: 1\n`), says('gives "version" a second time'));
  assert.throws(() => parseKit(text.replace('"Hill School"', "Hill School")), says("quotation marks"));
  assert.throws(() => parseKit("hello"), says("line 1 is not of a recovery kit", { line: 1 }));
  assert.throws(() => parseKit(""), says('the line "version:" is missing'));
  assert.throws(() => parseKit("#".repeat(100_000)), says("too long"));
});

test("what a kit says of the federation comes back, whatever the names are", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 30 }),
      fc.array(
        fc.record(
          { name: fc.string({ unit: "binary", maxLength: 30 }), addresses: fc.array(fc.string()) },
          { noNullPrototype: true },
        ),
      ),
      (name, members) => {
        const federation = { federationId: parseFederationId("ab".repeat(32)), name, members };
        assert.deepEqual(parseKit(formatKit({ ...kitOf("Hill School", root), federation })).federation, federation);
      },
    ),
  );
  const text = formatKit({
    ...kitOf("Hill School", root),
    federation: { federationId: parseFederationId("ab".repeat(32)), name: "North", members: [] },
  });
  assert.throws(() => parseKit(text.replace("federation-id: a", "federation-id: x")), says("says of the federation"));
  assert.throws(() => parseKit(`${text}  {"name": 1}\n`), says("says of the federation"));
  assert.throws(() => parseKit(text.replace('"North"', "North")), says("quotation marks"));
});

test("windows line ends, added comments and blank lines do no harm", () => {
  const text = formatKit(kitOf("Hill School", root)).replaceAll("\n", "\r\n");
  assert.deepEqual(Buffer.from(parseKit(`# kept in the safe\r\n\r\n${text}\r\n`).kitRoot), root);
});

test("an error about a kit never carries its words", () => {
  const words = wordsOfKitRoot(root);
  const text = formatKit(kitOf("Hill School", root));
  for (const damaged of [
    text.replace("Hill", "Hall"),
    text.replace(` 4 ${words[3]}`, " 4 zoo"),
    text.replace(/ 24 \w+$/m, ""),
  ]) {
    assert.throws(
      () => parseKit(damaged),
      (error) => {
        assert.ok(isCostorError(error, "kit-invalid"), String(error));
        const shown = `${error.message} ${JSON.stringify(error.details)} ${String(error.cause)}`.split(/[^a-z]+/);
        assert.deepEqual(
          shown.filter((word) => words.includes(word)),
          [],
        );
        return true;
      },
    );
  }
});

test("the fingerprint is the beginning of the site's id, in groups", () => {
  const { publicKey } = deriveRecoveryKey(root);
  assert.equal(fingerprintOf(publicKey).replaceAll(" ", ""), siteIdOf(publicKey).slice(0, 32));
});

test.run();
