// Goal: a restore of a real system's trees is exact. Method: back them up to a site over HTTPS through the launcher,
// restore beside, and compare twice: by rsync, and by the project's own comparer of what rsync cannot see.
// The full run takes all of /usr, /etc and /var/lib; the quick one /etc and parts of /usr.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { costorContender } from "#test/bench/costor-contender.ts";
import { run } from "#test/bench/measure.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { isRsyncInstalled, rsyncDifferences } from "#test/support/rsync-compare.ts";
import { quickScratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const GIB = 1024 ** 3;
const isFull = process.env["COSTOR_TEST_LEVEL"] === "full";
const isRoot = process.getuid?.() === 0;
const test = suite("system trees", { timeoutMs: (isFull ? 30 : 4) * 60_000 });

/** Trees that nothing changes while they are compared: /var/lib is copied first, since a running system writes there. */
async function treesToCompare(): Promise<string[]> {
  if (!isRoot) return ["/usr/share/perl", "/usr/share/perl5", "/usr/share/zoneinfo"].filter((path) => existsSync(path));
  if (!isFull)
    return ["/etc", "/usr/share/perl", "/usr/share/zoneinfo", "/usr/lib/apt", "/usr/sbin"].filter((path) =>
      existsSync(path),
    );
  const frozen = join(await quickScratchDirectory("frozen", GIB), "var-lib");
  execFileSync("cp", ["-a", "--", "/var/lib", frozen]);
  // No restore brings sockets back.
  execFileSync("find", [frozen, "-type", "s", "-delete"]);
  return ["/usr", "/etc", frozen];
}

test("what comes back is what was there", async ({ skip }) => {
  if (!isRsyncInstalled()) skip("rsync is not installed");
  const folder = await quickScratchDirectory("system-trees", (isFull ? 16 : 1) * GIB);
  const target = join(folder, "restored");
  const trees = await treesToCompare();
  await using site = await costorContender().start(join(folder, "contender"));
  await site.prepare("machine");
  await mkdir(target);
  const backup = await run(site.backup("machine", trees));
  assert.equal(backup.exitCode, 0, backup.output);
  const restore = await run(await site.restore("machine", target));
  assert.equal(restore.exitCode, 0, restore.output);
  for (const tree of trees) {
    const restored = join(target, tree);
    assert.deepEqual(await rsyncDifferences(tree, restored, { ignoresOwners: !isRoot }), [], `rsync over ${tree}`);
    assert.deepEqual(treeDifferences(tree, restored, { ignoresOwners: !isRoot }), [], `own comparison of ${tree}`);
  }
});

test.run();
