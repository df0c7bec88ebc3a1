/**
 * Goal: what the kernel makes up is in no snapshot unless it was asked for, and what people keep beside it is.
 * Method: this machine's /proc, below the root / and, where the test may mount, in a scratch directory.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Directory } from "#agent/files/directory.ts";
import { isOnVirtualFileSystem } from "#agent/files/virtual-file-system.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { restoredAgain } from "#test/agent/restore/restore-fixture.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine } from "./backup-fixture.ts";

const test = suite("virtual file systems", { timeoutMs: 60_000 });

/** Only /proc and what lies in it. */
const onlyProc = { exclude: ["/*", "!/proc"] };

test("/proc and /sys are such ones, and / is none", () => {
  using slash = Directory.openSlash();
  assert.equal(isOnVirtualFileSystem(slash), false);
  for (const name of ["proc", "sys"] as ByteString[]) {
    using directory = slash.openChild(name);
    assert.equal(isOnVirtualFileSystem(directory), true, name);
  }
});

test("below the root / there is /proc as an empty directory, and nothing is unreadable", async () => {
  const machine = await TestMachine.make("slash");
  for (let round = 0; round < 2; round++) {
    const report = await machine.backUp({ paths: ["/"], config: onlyProc });
    assert.deepEqual([report.unreadable, report.filesCount, report.objectsCount], [[], 0, 1]);
    assert.equal((await machine.site.object("/proc"))?.type, "directory");
  }
});

test("what is named as a root is taken, in such a file system too", async () => {
  const machine = await TestMachine.make("named");
  for (const paths of [["/", "/proc/sys/kernel/ostype"], ["/proc/sys/kernel/ostype"]]) {
    const report = await machine.backUp({ paths, config: onlyProc });
    assert.deepEqual([report.unreadable, report.filesCount], [[], 1]);
    assert.equal((await machine.site.object("/proc/sys/kernel/ostype"))?.type, "file");
  }
  const itself = await machine.backUp({ paths: ["/proc"], config: { exclude: ["/proc/*", "!/proc/filesystems"] } });
  assert.deepEqual([itself.unreadable, itself.filesCount], [[], 1]);
});

test("one that is mounted anywhere is left out, comes back as a directory, and stays where --delete meets it", async ({
  skip,
}) => {
  if (process.geteuid!() !== 0) skip("only root mounts");
  const machine = await TestMachine.make("mounted");
  writeFileSync(machine.path("file"), "content");
  mkdirSync(machine.path("jail/proc"), { recursive: true });
  const mount = (path: string): boolean =>
    [
      ["-t", "proc", "proc"],
      ["--bind", "/proc"],
    ].some((words) => spawnSync("mount", [...words, path]).status === 0);
  const unmount = (path: string): void => void spawnSync("umount", ["-l", path]);
  const from = machine.path("jail/proc");
  const whole = await machine.backUp();
  if (!mount(from)) skip("mounting is not possible here");
  let to: string | undefined;
  try {
    const report = await machine.backUp();
    assert.deepEqual([report.unreadable, report.filesCount], [[], 1]);
    assert.equal(report.objectsCount, whole.objectsCount);
    ({ to } = await machine.restore());
    assert.deepEqual(readdirSync(join(to, from)), []);
    assert.ok(mount(join(to, from)));
    const again = await restoredAgain(machine, to, { deleteExtra: true });
    assert.deepEqual([again.failed, again.deletedCount], [[], 0]);
  } finally {
    unmount(from);
    if (to) unmount(join(to, from));
  }
});

test.run();
