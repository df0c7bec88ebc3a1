/**
 * What `ls` promises: files small enough to read, named for what they hold, and folders that import one way only.
 * Method: the tracked and new files as git lists them; for the directions, violations planted before the real linter.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const root = resolve(import.meta.dirname, "../..");
const linesCount = 350;
const bannedNames = /^(utils?|helpers?|common|misc|types)\.ts$/;

function sourceFiles(): string[] {
  const listed = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.ts"], {
    cwd: root,
    encoding: "utf8",
  });
  assert.equal(listed.status, 0, listed.stderr);
  const deleted = spawnSync("git", ["ls-files", "--deleted", "-z"], { cwd: root, encoding: "utf8" }).stdout.split("\0");
  return listed.stdout.split("\0").filter((path) => path !== "" && !deleted.includes(path));
}

const test = suite("sources");

test(`no file has more than ${linesCount} lines`, async () => {
  const long: string[] = [];
  for (const path of sourceFiles()) {
    const count = (await readFile(join(root, path), "utf8")).split("\n").length - 1;
    if (count > linesCount) long.push(`${path}: ${count}`);
  }
  assert.deepEqual(long, []);
});

test("files are named in kebab-case for what they hold", () => {
  const bad = sourceFiles().filter((path) => {
    const name = basename(path);
    return bannedNames.test(name) || !/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench|d))?\.ts$/.test(name);
  });
  assert.deepEqual(bad, []);
});

/** Each violation in one line: the file it is planted in, and what it says. */
const violations: readonly (readonly [string, string])[] = [
  ["protocol/x.ts", 'import "#agent/scan.ts";'],
  ["protocol/x.ts", 'import "../node/site/site.ts";'],
  ["terminal/x.ts", 'import "#node/site/site.ts";'],
  ["terminal/x.ts", 'import "../rescue/extract.ts";'],
  ["agent/cli/x.ts", 'import "../../rescue/extract.ts";'],
  ["node/cli/x.ts", 'import "../../rescue/extract.ts";'],
  ["rescue/x.ts", 'import "#test/support/suite.ts";'],
  ["rescue/x.ts", 'import "../agent/cli/restore.ts";'],
  ["agent/x.ts", 'import "#node/site/site.ts";'],
  ["agent/deep/x.ts", 'import "../../node/site/site.ts";'],
  ["agent/x.ts", 'import "#terminal/output.ts";'],
  ["agent/files/x.ts", 'import "#agent/scan.ts";'],
  ["agent/files/x.ts", 'import "../scan.ts";'],
  ["node/x.ts", 'import "#agent/scan.ts";'],
  ["node/cli/x.ts", 'import "#agent/scan.ts";'],
  ["node/x.ts", 'export { y } from "#agent/scan.ts";'],
  ["node/x.ts", 'import "#terminal/output.ts";'],
  ["node/x.ts", 'import "#agent/files-list.ts";'],
  ["node/x.ts", 'import "#agent/fi.ts";'],
  ["node/x.ts", 'import "#test/support/suite.ts";'],
  ["ledger/x.ts", 'import "#node/site/site.ts";'],
  ["ledger/x.ts", "export const now = Date.now();"],
  ["ledger/x.ts", "export const chance = Math.random();"],
  ["ledger/x.ts", "setTimeout(() => {}, 1);"],
  ["node/site/plan-retention.ts", "export const now = new Date();"],
  ["protocol/x.ts", "export default 1;"],
  ["protocol/x.ts", 'export * from "./y.ts";'],
];
const allowed: readonly (readonly [string, string])[] = [
  ["protocol/x.ts", 'import "./y.ts";'],
  ["agent/x.ts", 'import "#agent/files/directory.ts";'],
  ["agent/cli/x.ts", 'import "#terminal/output.ts";'],
  ["node/cli/x.ts", 'import "#terminal/output.ts";'],
  ["rescue/x.ts", 'import "#agent/cli/restore.ts";\nimport "#node/site/site.ts";'],
  ["node/x.ts", 'import "#agent/files/directory.ts";\nimport "node:fs";'],
  ["node/x.ts", "export const now = Date.now();"],
];

async function lint(path: string, text: string): Promise<{ status: number | null; output: string }> {
  const directory = await scratchDirectory("lint");
  await copyFile(join(root, ".oxlintrc.json"), join(directory, ".oxlintrc.json"));
  await mkdir(join(directory, dirname(path)), { recursive: true });
  await writeFile(join(directory, path), `${text}\n`);
  const oxlint = join(root, "node_modules/.bin/oxlint");
  const { status, stdout, stderr } = spawnSync(process.execPath, [oxlint], { cwd: directory, encoding: "utf8" });
  return { status, output: stdout + stderr };
}

test("a planted import against the directions, or ambient clock or chance, fails the lint", async () => {
  for (const [path, text] of violations) {
    const { status, output } = await lint(path, text);
    assert.equal(status, 1, `${path}: ${text}\n${output}`);
    assert.match(output, /no-restricted|no-default-export|no-barrel-file/, `${path}: ${text}`);
  }
});

test("imports in the right direction pass the lint", async () => {
  for (const [path, text] of allowed) {
    const { status, output } = await lint(path, text);
    assert.equal(status, 0, `${path}: ${text}\n${output}`);
  }
});

test.run();
