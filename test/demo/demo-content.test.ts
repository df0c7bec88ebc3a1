/** Goal: each site gets something of its own to back up, on any machine. Method: directories made for it. */
import assert from "node:assert/strict";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chooseContents } from "#test/demo/demo-content.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("content of the demo");
const MB = 1e6;

test("real directories are shared out, whole and each once, about as much as is wanted", async () => {
  const from = await scratchDirectory("from");
  for (let index = 0; index < 12; index++) {
    await mkdir(join(from, `${index}`));
    await writeFile(join(from, `${index}`, "file"), Buffer.alloc(MB));
  }
  await writeFile(join(from, "small"), "too small to be worth it");
  const contents = await chooseContents({ from, scratch: join(from, "made"), wantedBytes: [4 * MB, 4 * MB, 2 * MB] });
  const paths = contents.flatMap((content) => content.paths);
  assert.equal(new Set(paths).size, paths.length);
  assert.deepEqual(
    contents.map(({ bytes }) => bytes),
    [4 * MB, 4 * MB, 2 * MB],
  );
  assert.ok(!paths.some((path) => path.endsWith("small")));
});

test("where there is nothing files are made", async () => {
  const scratch = await scratchDirectory("made");
  const contents = await chooseContents({ from: join(scratch, "nothing"), scratch, wantedBytes: [3 * MB, MB] });
  for (const [index, { paths, bytes }] of contents.entries()) {
    assert.equal(paths.length, 1);
    assert.ok((await stat(paths[0]!)).isDirectory());
    assert.ok(bytes >= [3 * MB, MB][index]!);
  }
  assert.notEqual(contents[0]!.paths[0], contents[1]!.paths[0]);
});

test.run();
