/**
 * Goal: a restore onto a file system that knows less than the backup's brings all contents, and says what it could not.
 * Method: real FAT and NTFS images where they can be mounted, and a tmpfs below the target.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestMachine } from "#test/agent/backup/backup-fixture.ts";
import { foreignKinds, mountForeignDisk } from "#test/support/foreign-disk.ts";
import { suite } from "#test/support/suite.ts";
import { restoredAgain } from "./restore-fixture.ts";

const test = suite("other file systems");

async function linkedMachine(name: string): Promise<TestMachine> {
  const machine = await TestMachine.make(name);
  for (const directory of ["d1", "d2"]) mkdirSync(machine.path(directory));
  writeFileSync(machine.path("d1/first"), "linked");
  linkSync(machine.path("d1/first"), machine.path("d1/second"));
  linkSync(machine.path("d1/first"), machine.path("d2/third"));
  writeFileSync(machine.path("d2/large"), Buffer.alloc(9_000_000, 7));
  linkSync(machine.path("d2/large"), machine.path("d2/large too"));
  return machine;
}

const names = ["d1/first", "d1/second", "d2/third", "d2/large", "d2/large too"];

for (const kind of foreignKinds)
  test(`directories, files and further names of files come onto ${kind}, which gives all of it an owner of its own`, async ({
    skip,
  }) => {
    const mounted = await mountForeignDisk(kind);
    if (typeof mounted === "string") return skip(mounted);
    using disk = mounted;
    const machine = await linkedMachine(kind);
    symlinkSync("d1", machine.path("link"));
    await machine.backUp();
    for (const overwrite of ["never", "always"] as const) {
      const report = await restoredAgain(machine, disk.path, { overwrite });
      // FAT has no symlinks.
      const failed = kind === "vfat" ? [machine.path("link")] : [];
      assert.deepEqual(
        report.failed.map(({ path }) => path),
        failed,
      );
      for (const name of names)
        assert.deepEqual(readFileSync(join(disk.path, machine.path(name))), readFileSync(machine.path(name)), name);
    }
    assert.equal(statSync(join(disk.path, machine.path("d1"))).uid, 1000);
  });

test("a name that cannot be a link, since it lies on another file system, gets the content, and a note", async ({
  skip,
}) => {
  if (process.geteuid!() !== 0) skip("only root mounts");
  const machine = await linkedMachine("linked");
  await machine.backUp();
  const to = join(machine.directory, "to");
  const point = join(to, machine.path("d2"));
  mkdirSync(point, { recursive: true });
  if (spawnSync("mount", ["-t", "tmpfs", "none", point]).status !== 0) skip("mounting is not possible here");
  try {
    const report = await restoredAgain(machine, to);
    assert.deepEqual([report.failedCount, report.restoredCount], [0, 6]);
    assert.deepEqual(
      report.notes.map(({ kind, path }) => [kind, path]),
      [["link", machine.path("d2/third")]],
    );
    for (const name of names)
      assert.deepEqual(readFileSync(join(to, machine.path(name))), readFileSync(machine.path(name)), name);
    assert.equal(statSync(join(to, machine.path("d2/large"))).nlink, 2);
  } finally {
    spawnSync("umount", ["-l", point]);
  }
});

test.run();
