/**
 * Goal: what the reader of plain YAML reads is what the YAML library reads, and the files that enrolment writes are plain.
 * Method: cases by hand, then files put together and changed at random, compared with the library.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { LineCounter, parseDocument } from "yaml";
import { formatNewConfig } from "#agent/config/config-template.ts";
import { parsePlainYaml } from "#agent/config/plain-yaml.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { newConfigForTest } from "./identity.ts";

const test = suite("plain YAML", { timeoutMs: 120_000 });

/** Asserts that the plain reader leaves `source` alone or agrees with the library; whether it read it. */
function agrees(source: string): boolean {
  const plain = parsePlainYaml(source);
  if (plain === undefined) return false;
  const document = parseDocument(source, {
    lineCounter: new LineCounter(),
    customTags: ["binary"],
    prettyErrors: false,
  });
  assert.deepEqual(document.errors, [], JSON.stringify(source));
  assert.deepEqual(document.warnings, [], JSON.stringify(source));
  assert.deepEqual(plain, document.toJS(), JSON.stringify(source));
  return true;
}

test("files that enrolment writes, and simple changes of them, are plain", async () => {
  const source = formatNewConfig(await newConfigForTest());
  assert.ok(agrees(source));
  assert.ok(
    agrees(source.replace("exclude: []", 'exclude:\n  - "*.tmp"\n  - .cache/\n'.replace(".cache/", '".cache/"'))),
  );
  assert.ok(
    agrees(source.replace("exclude: []", 'exclude: ["*.tmp", node_modules]\nworkersCount: 2\noneFileSystem: true')),
  );
  assert.ok(agrees(source.replace("exclude: []", "exclude:\n- /home/ann\n\n# why not\n- /srv/data\n")));
  assert.ok(agrees(source.replace("# bandwidthLimit: 5 MiB/s", "bandwidthLimit: 5 MiB/s")));
});

const plainCases = [
  "a: b\n",
  "a:\n",
  "a:\nb: 1\n",
  "a:\n  b: c d\n  e: 0\n",
  "a: |\n  x\n  y\nb: z\n",
  "a: |\n  x\n\n\nb: z\n",
  'a: "x\\\\y\\"z"\n',
  "a: []\n",
  "a: [b, 1, true]\n",
  "a:\n- b\n- c\nd: e\n",
  "a:\n    - b\nc: d\n",
];
for (const source of plainCases) test(`${JSON.stringify(source)} is plain`, () => assert.ok(agrees(source)));

const otherCases = [
  "",
  "a\n",
  "a: b",
  "a: b # c\n",
  "a: b\n  c\n",
  "a: b: c\n",
  "a: 'b'\n",
  "a: >\n  b\n",
  "a: |\n  x\n   y\n",
  "a: |\n\n  x\n",
  "a: |\n  x\n\n  y\n",
  "a: yes\n",
  "a: ~\n",
  "a: 1.5\n",
  "a: 0x10\n",
  "a: 010\n",
  "a: 2026-01-01\n",
  "a: {b: c}\n",
  'a: ["b,c"]\n',
  "a: [b, ]\n",
  'a: "b\\n"\n',
  "a: &x b\n",
  "a: !!binary AA==\n",
  "a:\n  - b: c\n",
  "a:\n  - - b\n",
  "a: b\na: c\n",
  " a: b\n",
  "a:\n b: c\n  d: e\n",
  "a:\tb\n",
  "a: b\r\n",
  "a: b \n",
  "---\na: b\n",
  "a:\n  b:\n    c: d\n",
  "\ufeffa: b\n",
];
for (const source of otherCases)
  test(`${JSON.stringify(source)} is left to the library`, () => assert.equal(agrees(source), false));

test("whatever is put together at random is read as the library reads it, or left to it", () => {
  const scalar = fc.constantFrom(
    "a",
    "b c",
    "/x/y.z",
    '"q # r"',
    '"*.tmp"',
    "true",
    "12",
    "no",
    "null",
    "[]",
    "[a, b]",
    "|",
    "",
    "# c",
    "- d",
    "e: f",
    "x-y",
    "a:b",
    "'s'",
    "1e3",
    '"\\\\"',
    "a,b",
    "+1",
    "A.b",
    "[a",
    "a]",
  );
  const line = fc
    .tuple(
      fc.constantFrom("", "  ", "    ", " "),
      fc.constantFrom("k1:", "k2:", "k3:", "-", "#", "", "k1", "plain"),
      fc.constantFrom("", " ", "  "),
      scalar,
    )
    .map((parts) => parts.join(""));
  let plainCount = 0;
  const check = (lines: readonly string[]): void => void (agrees(`${lines.join("\n")}\n`) && plainCount++);
  fc.assert(fc.property(fc.array(line, { minLength: 1, maxLength: 6 }), check), { numRuns: count(20_000, 300_000) });
  assert.ok(plainCount > 100, String(plainCount));
});

test("a file with random characters changed is read as the library reads it, or left to it", async () => {
  const lines = formatNewConfig(await newConfigForTest()).split("\n");
  const start = lines.findIndex((line) => line.startsWith("restore:"));
  const source = lines.slice(start).join("\n");
  const change = fc.tuple(
    fc.nat(source.length - 1),
    fc.constantFrom(...'\n :-#"\\[]|>ab1,{}&*!%@`\t\u00a0'.split(""), "", "\n\n", "  "),
  );
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      let changed = source;
      for (const [at, text] of changes) changed = changed.slice(0, at) + text + changed.slice(at + 1);
      agrees(changed);
    }),
    { numRuns: count(1_000, 50_000) },
  );
});

test.run();
