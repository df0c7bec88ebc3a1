/**
 * Clocks that are wrong and clocks that jump, by libfaketime under real processes. Goal: whatever the clocks say, a backup
 * is made and restores, or the error speaks of the clock; the order of snapshots is that in which the site received them;
 * nothing acknowledged is lost.
 */
import assert from "node:assert/strict";
import { existsSync, globSync } from "node:fs";
import { parseSnapshotId, type SnapshotId } from "#protocol/ids.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import { SiteUnderFault } from "./site-under-fault.ts";
import type { TreeManifest } from "./tree-manifest.ts";

const test = suite("wrong clocks", { timeoutMs: 600_000 });
const library = globSync("/usr/lib/*/faketime/libfaketimeMT.so.1").find((path) => existsSync(path));

/** The environment of a process whose wall clock is off; timers run as ever. */
const at = (time: string): NodeJS.ProcessEnv => ({
  LD_PRELOAD: library,
  FAKETIME: time,
  FAKETIME_DONT_FAKE_MONOTONIC: "1",
  FAKETIME_NO_CACHE: "1",
});

const jumps = [
  "+1h",
  "-1h",
  "+30d",
  "-30d",
  "@1970-01-02 00:00:00",
  "@2038-01-20 00:00:00",
  "@2106-02-08 00:00:00",
  "+0",
];

if (library === undefined) test.skip("all of them", "no libfaketime (apt-get install faketime)");
else {
  test("a site whose clock jumps at every start keeps its snapshots, and their order", async () => {
    await using site = await SiteUnderFault.make();
    await site.start();
    using agent = await AgentUnderFault.enrol(site);
    const tree = new ChangingTree(await scratchDirectory("tree"), {
      seed: 1,
      smallFilesCount: 10,
      largeFileBytes: 100_000,
    });
    const kept: { id: SnapshotId; manifest: TreeManifest }[] = [];
    /** A site that lives in another age makes itself a certificate of that age. */
    const keep = async (): Promise<boolean> => {
      const end = await agent.backup(tree.path);
      if (end.code !== 0) {
        assert.match(end.stderr, /Check the clocks/);
        return false;
      }
      kept.push({ id: end.json<{ snapshotId: SnapshotId }>().snapshotId, manifest: tree.manifest() });
      tree.change();
      return true;
    };
    assert.ok(await keep());
    for (const jump of jumps) {
      await site.stop(kept.length % 2 === 0 ? "SIGTERM" : "SIGKILL");
      await site.start({ env: at(jump) });
      try {
        const isKept = await keep();
        assert.ok(isKept || jump.startsWith("@"), "hours and days are no reason");
        if (!isKept) continue;
        const listed = (await agent.reading.snapshots()).map(({ id }) => parseSnapshotId(id));
        assert.deepEqual(
          listed,
          kept.map(({ id }) => id),
        );
      } catch (cause) {
        throw new Error(`the site's clock at ${jump}; the site said: ${site.log.join("\n")}`, { cause });
      }
    }
    assert.ok(await keep(), "all is well once the clock is right");
    for (const { id, manifest } of kept) assert.deepEqual(await agent.restored(id, tree.path), manifest);
    assert.equal((await site.command("check", "--read-data")).code, 0);
  });

  test("an agent whose clock is wrong backs up, or is told to look at its clock", async () => {
    await using site = await SiteUnderFault.make();
    await site.start();
    using agent = await AgentUnderFault.enrol(site);
    const tree = new ChangingTree(await scratchDirectory("tree"), {
      seed: 2,
      smallFilesCount: 10,
      largeFileBytes: 100_000,
    });
    for (const jump of jumps) {
      const end = await agent.startBackup([tree.path], { env: at(jump) }).ended;
      if (end.code === 0) {
        const { snapshotId } = end.json<{ snapshotId: SnapshotId }>();
        assert.deepEqual(await agent.restored(snapshotId, tree.path), tree.manifest(), jump);
      } else assert.match(end.stderr, /clock/i, `${jump}: ${end.stderr}`);
      tree.change();
    }
    const after = await agent.backupWhole(tree.path);
    assert.deepEqual(await agent.restored(after, tree.path), tree.manifest());
    const listed = (await agent.reading.snapshots()).map(({ id }) => id);
    assert.equal(listed.at(-1), after, "the newest is the one received last");
  });

  test("a file that changes while the clock stands back is backed up all the same", async () => {
    await using site = await SiteUnderFault.make();
    await site.start();
    using agent = await AgentUnderFault.enrol(site);
    const tree = new ChangingTree(await scratchDirectory("tree"), {
      seed: 3,
      smallFilesCount: 10,
      largeFileBytes: 100_000,
    });
    await agent.startBackup([tree.path], { env: at("+1h") }).ended;
    tree.change();
    const snapshotId = await agent.backupWhole(tree.path);
    assert.deepEqual(await agent.restored(snapshotId, tree.path), tree.manifest());
  });
}

test.run();
