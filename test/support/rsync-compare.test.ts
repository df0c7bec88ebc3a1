// Goal: the second opinion on restores sees what it is used for. Method: two equal trees, then one change at a time.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, link, mkdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isRsyncInstalled, rsyncDifferences } from "./rsync-compare.ts";
import { scratchDirectory } from "./scratch.ts";
import { suite } from "./suite.ts";

const test = suite("rsync comparison");

async function twoTrees(): Promise<{ original: string; restored: string }> {
  const folder = await scratchDirectory("rsync-compare");
  const [original, restored] = [join(folder, "original"), join(folder, "restored")];
  await mkdir(join(original, "sub"), { recursive: true });
  await writeFile(join(original, "sub/plain"), "content");
  await writeFile(join(original, "linked"), "same inode");
  await link(join(original, "linked"), join(original, "linked too"));
  execFileSync("cp", ["-a", original, restored]);
  return { original, restored };
}

const changes: Record<string, (restored: string) => Promise<void>> = {
  "a file's content with the same size and time": async (restored) => {
    const path = join(restored, "sub/plain");
    execFileSync("sh", [
      "-c",
      'cp -p "$1" "$1.time"; printf CONTENT > "$1"; touch -r "$1.time" "$1"; rm "$1.time"',
      "sh",
      path,
    ]);
  },
  "one nanosecond of a file's time": async (restored) => {
    execFileSync("touch", ["-d", "2020-01-01 00:00:00.000000001", join(restored, "sub/plain")]);
    execFileSync("touch", ["-d", "2020-01-01 00:00:00", join(restored, "../original/sub/plain")]);
  },
  "a mode": (restored) => chmod(join(restored, "sub/plain"), 0o600),
  "a file too many": (restored) => writeFile(join(restored, "superfluous"), ""),
  "a file missing": (restored) => rm(join(restored, "sub/plain")),
  "a broken hard link": async (restored) => {
    execFileSync("sh", ["-c", 'cp -p "$1/linked" "$1/new" && mv "$1/new" "$1/linked too"', "sh", restored]);
  },
};

if (!isRsyncInstalled()) test.skip("comparison", "rsync is not installed");
else {
  test("equal trees have no differences", async () => {
    const { original, restored } = await twoTrees();
    assert.deepEqual(await rsyncDifferences(original, restored), []);
  });
  for (const [title, change] of Object.entries(changes)) {
    test(`it sees ${title}`, async () => {
      const { original, restored } = await twoTrees();
      await change(restored);
      for (const place of ["", "sub"]) execFileSync("touch", ["-r", join(original, place), join(restored, place)]);
      assert.notDeepEqual(await rsyncDifferences(original, restored), []);
    });
  }
  test("it sees a directory's time", async () => {
    const { original, restored } = await twoTrees();
    await utimes(join(restored, "sub"), 1, 1);
    assert.deepEqual(await rsyncDifferences(original, restored), [".d..t...... sub/"]);
  });
  test("a tree that is missing is an error, not a difference", async () => {
    const { restored } = await twoTrees();
    await assert.rejects(rsyncDifferences(`${restored}-gone`, restored), /exit code 23/);
  });
}

test.run();
