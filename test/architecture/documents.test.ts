/** Documents that follow from the code are equal to it, and no link in a document leads nowhere. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { referencePages } from "../../scripts/reference-pages.ts";
import { exitCodes } from "#terminal/exit-codes.ts";
import { suite } from "#test/support/suite.ts";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFile(join(root, path), "utf8");

const test = suite("documents");

test("docs/errors.md and docs/limits.md are what `npm run docs` writes", async () => {
  for (const [path, text] of referencePages()) {
    assert.equal(await read(path), text, `${path} is out of date: run npm run docs`);
  }
});

test("docs/dependencies.md gives a reason for each runtime dependency, and for no other", async () => {
  const rows = (await read("docs/dependencies.md")).matchAll(/^\| `([^`]+)` \| (.+) \|$/gm);
  const documented = Array.from(rows, ([, name = "", reason = ""]) => {
    assert.ok(reason.length > 20, `${name}: that is no reason: ${reason}`);
    return name;
  });
  const declared = Object.keys({ ...packageJson.dependencies, ...packageJson.optionalDependencies });
  assert.deepEqual(documented.toSorted(), declared.toSorted());
});

test("docs/commands.md names every exit code", async () => {
  const page = await read("docs/commands.md");
  const rows = Array.from(page.matchAll(/^\| (\d+) \| /gm), ([, code]) => Number(code));
  assert.deepEqual(rows, Object.values(exitCodes));
});

test("every relative link in a document leads to a file of the project, and to a heading that is there", async () => {
  const listed = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md"], {
    cwd: root,
    encoding: "utf8",
  });
  assert.equal(listed.status, 0, listed.stderr);
  const broken: string[] = [];
  for (const path of listed.stdout.trim().split("\n")) {
    if (!existsSync(join(root, path))) continue;
    for (const [, target = ""] of (await read(path)).matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = "", anchor] = target.split("#");
      const page = file === "" ? path : join(dirname(path), decodeURI(file));
      const isThere = existsSync(join(root, page));
      const hasHeading = anchor === undefined || (isThere && anchorsOf(await read(page)).includes(anchor));
      if (!isThere || !hasHeading) broken.push(`${path}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

/** As GitHub makes them of headings; those of code blocks are none. */
function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(/^```[^]*?^```/gm, "").matchAll(/^#{1,6} (.+)$/gm);
  return Array.from(headings, ([, heading = ""]) =>
    heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test.run();
