/**
 * Goal: include and exclude patterns decide as a .gitignore in `/` would, for any bytes in names.
 * Method: tables of paths; then the same questions to git itself, where it is installed.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createPathFilter, keepEverything } from "#agent/config/path-filter.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("path filter");

/** Asks from the top down, as a scan does. */
function keeps(filter: (path: string, isDirectory: boolean) => boolean, path: string): boolean {
  const isDirectory = path.endsWith("/");
  const names = path
    .replace(/\/$/, "")
    .split("/")
    .map((name) => byteStringFromText(name));
  for (let depth = 1; depth < names.length; depth++) if (!filter(names.slice(0, depth).join("/"), true)) return false;
  return filter(names.join("/"), isDirectory);
}

test("without patterns there is nothing to ask", () => {
  assert.equal(createPathFilter([], []), keepEverything);
});

const cases: readonly [include: string[], exclude: string[], kept: string[], left: string[]][] = [
  [[], ["*.tmp"], ["home/a", "home/tmp"], ["a.tmp", "home/deep/down/b.tmp", "x.tmp/inside"]],
  [[], ["/var/cache/"], ["home/var/cache/x", "var/cached"], ["var/cache/", "var/cache/x/y"]],
  [[], ["cache/"], ["home/cache"], ["home/cache/", "home/cache/x"]],
  [[], ["*.log", "!keep.log"], ["var/keep.log"], ["var/other.log"]],
  [[], ["/var/log/*", "!/var/log/apt/"], ["var/log/apt/history"], ["var/log/syslog"]],
  [[], ["voilà", "Ü*"], ["voil", "home/ü"], ["home/voilà", "home/Übung.txt"]],
  [[], ["*.TMP"], ["a.tmp"], ["a.TMP"]],
  [["*.pdf"], [], ["home/", "home/x/a.pdf"], ["home/a.txt"]],
  [
    ["/home/*/Documents/"],
    [],
    ["home/", "home/ann/", "home/ann/Documents/x/y"],
    ["etc/", "home/ann/Music/", "home/ann/a.txt", "home/file"],
  ],
  [["/srv/**/keep/"], [], ["srv/", "srv/a/b/c/", "srv/a/b/keep/x"], ["etc/", "srv/a/x"]],
  [["**/photos/"], [], ["any/where/photos/1.jpg", "any/"], ["any/1.jpg"]],
  [["/home/"], ["*.tmp", "/home/ann/"], ["home/bob/x"], ["home/ann/x", "home/bob/x.tmp", "etc/passwd"]],
];
for (const [include, exclude, kept, left] of cases) {
  test(`include ${JSON.stringify(include)} exclude ${JSON.stringify(exclude)}`, () => {
    const filter = createPathFilter(include, exclude);
    for (const path of kept) assert.equal(keeps(filter, path), true, `${path} is kept`);
    for (const path of left) assert.equal(keeps(filter, path), false, `${path} is left out`);
  });
}

test("names that are not UTF-8 match byte by byte", () => {
  const filter = createPathFilter([], ["bad*", "?.x", "[!a-z].y"]);
  assert.equal(filter("home/bad\xff\xfe", false), false);
  assert.equal(filter("home/\xff.x", false), false);
  assert.equal(filter("home/\xff\xfe.x", false), true);
  assert.equal(filter("home/\xff.y", false), false);
  assert.equal(filter("home/b.y", false), true);
  assert.equal(filter("home/line\nbreak\x85\xa0", false), true);
});

test("a tree of 5,000 levels and 100,000 questions need no deep stack and no growing memory", () => {
  const filter = createPathFilter([], ["*.tmp"]);
  let path = "d";
  for (let depth = 1; depth < 5_000; depth++) {
    path += "/d";
    if (depth % 97 === 0) assert.equal(filter(path, true), true);
  }
  assert.equal(filter(`${path}/a.tmp`, false), false);
  for (let index = 0; index < 100_000; index++) assert.equal(filter(`e/${index}.txt`, false), true);
});

test("git decides the same", async ({ skip }) => {
  if (spawnSync("git", ["--version"]).status !== 0) skip("git is not installed");
  const directory = await scratchDirectory("gitignore");
  spawnSync("git", ["init", "-q", directory]);
  const patterns = [
    "*.tmp",
    "/a/b/",
    "c/",
    "!keep.tmp",
    "d/**/e",
    "f?",
    "[g-i].z",
    "/j/*",
    "!/j/k",
    "voilà*",
    "\\#x",
    "sp\\ ",
  ];
  writeFileSync(join(directory, ".gitignore"), `${patterns.join("\n")}\n`);
  const files = [
    "1.tmp",
    "keep.tmp",
    "a/b/x",
    "x/a/b/y",
    "c/1",
    "x/c/2",
    "x/c.d/3",
    "d/e",
    "d/1/2/e",
    "d/1/f",
    "f1",
    "f12",
    "fü",
    "h.z",
    "k.z",
    "j/k/1",
    "j/l/2",
    "x/voilà1",
    "#x",
    "sp ",
  ];
  for (const file of files) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), "");
  }
  const listed = spawnSync(
    "git",
    ["-C", directory, "-c", "core.quotePath=false", "ls-files", "-z", "--others", "--exclude-standard"],
    { encoding: "utf8" },
  );
  const expected = new Set(listed.stdout.split("\0").filter((name) => name !== "" && name !== ".gitignore"));
  const filter = createPathFilter([], patterns);
  assert.deepEqual(files.filter((file) => keeps(filter, file)).sort(), [...expected].sort());
});

test.run();
