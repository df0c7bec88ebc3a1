/**
 * Goal: a restore brings back exactly what was there, whatever it was, in each overwrite mode, whole and in part, as root
 * and as somebody else.
 * Method: the launcher against a site in a process of its own; trees with everything in them (test/support/make-tree.ts),
 * compared by test/support/compare-trees.ts, which shares no code with the product.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { costor } from "#test/agent/cli/costor-process.ts";
import { count, level } from "#test/support/level.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { setRawXattr } from "#test/support/raw-files.ts";
import { suite } from "#test/support/suite.ts";
import { EnrolledMachines, type Machine, differences, isRoot } from "./enrolled-machines.ts";

const GIB = 1024 ** 3;
const test = suite("fidelity", { timeoutMs: count(4, 30) * 60_000 });

let machines: EnrolledMachines;
let directory: string;
let nasty: string;
const newTarget = (): string => machines.newTarget();
const enrol = (name: string): Promise<Machine> => machines.enrol(name);

test.before(async () => {
  machines = await EnrolledMachines.start("fidelity", level === "full" ? 6 * GIB : GIB);
  ({ directory } = machines);
  nasty = join(directory, "nasty");
  mkdirSync(nasty);
  makeTree(nasty, {
    deepLevelsCount: count(300, 10_000),
    wideEntriesCount: count(3000, 200_000),
    sparseBytes: 20 * GIB,
    hasUnreadable: isRoot,
  });
});
test.after(() => machines.site.stop());

test("a tree with everything in it comes back exactly, and nothing is read for the next snapshot", async () => {
  const agent = await enrol("whole");
  const backup = await agent.report("backup", nasty);
  assert.deepEqual([backup.unreadableCount, backup.changedCount, backup.skippedSocketsCount], [0, 0, 1]);
  const promised = await agent.report("restore", "latest", "--to", join(directory, "nowhere"), "--dry-run");
  assert.equal(existsSync(join(directory, "nowhere")), false);
  const to = newTarget();
  const restore = await agent.report("restore", "latest", "--to", to);
  assert.deepEqual([restore.failed, restore.notes], [[], []]);
  assert.deepEqual(differences(to, nasty), []);
  for (const key of ["restoredCount", "restoredBytes", "keptCount", "failedCount"])
    assert.equal(promised[key], restore[key], key);
  // What was young at the first backup is read once more, to be sure; then nothing is.
  await delay(2_500);
  await agent.report("backup", nasty);
  const unchanged = await agent.report("backup", nasty);
  assert.equal(unchanged.bytes, backup.bytes);
  assert.deepEqual([unchanged.readFilesCount, unchanged.readBytes], [0, 0]);
});

test("restored with --verify over a damaged copy, everything is as it was again", async () => {
  const agent = await enrol("damaged");
  await agent.report("backup", nasty);
  const to = newTarget();
  await agent.report("restore", "latest", "--to", to, "--verify");
  assert.deepEqual(differences(to, nasty), []);
  const at = (name: string): string => join(to, nasty, name);
  writeFileSync(at("sizes/random-4096"), Buffer.alloc(4096));
  appendFileSync(at("sparse/many"), "more");
  rmSync(at("links/inner/three"));
  writeFileSync(at("links/inner/three"), "no link");
  rmSync(at("links/absolute"));
  symlinkSync("elsewhere", at("links/absolute"));
  rmSync(at("specials/fifo"));
  chmodSync(at("modes/755"), 0o700);
  rmSync(at("wide"), { recursive: true });
  writeFileSync(at("wide"), "a file where a directory was");
  chmodSync(at("attributes"), 0o711);
  setRawXattr(Buffer.from(at("attributes/file")), "user.text", Buffer.from("another"));
  setRawXattr(Buffer.from(at("attributes/directory")), "user.extra", Buffer.from("extra"));
  writeFileSync(at("names/extra"), "extra");
  mkdirSync(at("extra/deeper"), { recursive: true });
  writeFileSync(join(to, "beside"), "outside of the snapshot");
  const words = ["restore", "latest", "--to", to, "--overwrite", "always", "--verify"];
  const promised = await agent.report(...words, "--delete", "--dry-run");
  const restore = await agent.report(...words, "--delete");
  assert.deepEqual(differences(to, nasty), []);
  assert.equal(readFileSync(join(to, "beside"), "utf8"), "outside of the snapshot");
  for (const key of ["restoredCount", "restoredBytes", "keptCount", "deletedCount", "failedCount"])
    assert.equal(promised[key], restore[key], key);
  // Once more by what looks changed: nothing does.
  const calm = await agent.report("restore", "latest", "--to", to, "--overwrite", "if-changed", "--delete");
  assert.deepEqual([calm.restoredCount, calm.deletedCount, calm.failedCount], [0, 0, 0]);
  assert.deepEqual(differences(to, nasty), []);
});

/** A small tree; one of its files per way in which a copy of it can differ. */
async function smallTree(name: string): Promise<{ agent: Machine; source: string; restored(): Promise<string> }> {
  const agent = await enrol(name);
  const source = join(directory, `${name}-source`);
  mkdirSync(join(source, "inner"), { recursive: true });
  for (const file of ["same", "older", "newer", "gone", "mode", "inner/file", "becomes-directory"]) {
    writeFileSync(join(source, file), `content of ${file}`);
    utimesSync(join(source, file), 1_600_000_000, 1_600_000_000);
  }
  symlinkSync("same", join(source, "link"));
  await agent.report("backup", source);
  return {
    agent,
    source,
    /** A copy that differs in every way. */
    async restored() {
      const to = newTarget();
      await agent.report("restore", "latest", "--to", to);
      const at = (file: string): string => join(to, source, file);
      for (const [file, seconds] of [
        ["older", 1_500_000_000],
        ["newer", 1_700_000_000],
      ] as const) {
        writeFileSync(at(file), `another ${file}`);
        utimesSync(at(file), seconds, seconds);
      }
      rmSync(at("gone"));
      chmodSync(at("mode"), 0o600);
      rmSync(at("becomes-directory"));
      mkdirSync(at("becomes-directory"));
      writeFileSync(at("becomes-directory/in-the-way"), "mine");
      writeFileSync(at("extra"), "extra");
      writeFileSync(at("inner/extra"), "extra");
      return to;
    },
  };
}

/** What of {@link smallTree} is as in the snapshot after a restore. */
function restoredNames(to: string, source: string): string[] {
  const isAsItWas = (file: string): boolean => {
    try {
      return readFileSync(join(to, source, file), "utf8") === `content of ${file}`;
    } catch {
      return false;
    }
  };
  return ["older", "newer", "gone", "becomes-directory"].filter(isAsItWas);
}

test("each overwrite mode replaces what it says, and no more", async () => {
  const { agent, source, restored } = await smallTree("modes");
  const expected: Record<string, { names: string[]; failedCount: number }> = {
    never: { names: ["gone"], failedCount: 1 },
    "if-newer": { names: ["older", "gone"], failedCount: 1 },
    "if-changed": { names: ["older", "newer", "gone"], failedCount: 1 },
    always: { names: ["older", "newer", "gone"], failedCount: 1 },
  };
  for (const [mode, { names, failedCount }] of Object.entries(expected)) {
    const to = await restored();
    const words = ["restore", "latest", "--to", to, "--overwrite", mode, "--json"];
    const promised = (await agent.run(...words, "--dry-run")).json();
    const ended = await agent.run(...words);
    assert.equal(ended.code, 3, ended.stderr);
    const report = ended.json();
    assert.deepEqual(restoredNames(to, source), names, mode);
    assert.deepEqual([report.failedCount, report.deletedCount], [failedCount, 0]);
    assert.match(report.failed[0].path, /becomes-directory$/);
    for (const key of ["restoredCount", "restoredBytes", "keptCount", "failedCount"])
      assert.equal(promised[key], report[key], `${mode}: ${key}`);
    for (const extra of ["extra", "inner/extra", "becomes-directory/in-the-way"])
      assert.ok(existsSync(join(to, source, extra)), `${mode} leaves ${extra}`);
    const isModeBack = mode === "if-changed" || mode === "always";
    const found = execFileSync("stat", ["-c", "%a", join(to, source, "mode")], { encoding: "utf8" }).trim();
    assert.equal(found === "600", !isModeBack, `${mode}: mode ${found}`);
  }
});

test("--delete makes the copy equal, and takes nothing outside of the snapshot's roots", async () => {
  const { agent, source, restored } = await smallTree("deleting");
  const to = await restored();
  const outside = join(to, directory, "neighbour");
  writeFileSync(outside, "not the snapshot's");
  const words = ["restore", "latest", "--to", to, "--overwrite", "if-changed", "--delete"];
  const promised = await agent.report(...words, "--dry-run");
  const report = await agent.report(...words);
  assert.deepEqual(differences(to, source), []);
  assert.equal(readFileSync(outside, "utf8"), "not the snapshot's");
  assert.equal(report.deletedCount, promised.deletedCount);
  // Only what was asked for is deleted in, too.
  writeFileSync(join(to, source, "extra"), "extra");
  writeFileSync(join(to, source, "inner/extra"), "extra");
  await agent.report("restore", "latest", join(source, "inner"), ...words.slice(2));
  assert.deepEqual(
    ["extra", "inner/extra"].map((name) => existsSync(join(to, source, name))),
    [true, false],
  );
});

test("of a snapshot only what was asked for comes, with the directories above it", async () => {
  const agent = await enrol("parts");
  await agent.report("backup", join(nasty, "links"), join(nasty, "names"), join(nasty, "sizes"));
  const to = newTarget();
  const paths = ["links/inner", "sizes/random-4097", "names"].map((name) => join(nasty, name));
  await agent.report("restore", "latest", ...paths, "--to", to);
  assert.deepEqual(differences(to, join(nasty, "names")), []);
  // Names of one inode share it also when the first of them was not asked for.
  assert.deepEqual(differences(to, join(nasty, "links/inner"), { ignoresOwners: true }), []);
  assert.ok(existsSync(join(to, nasty, "sizes/random-4097")));
  for (const name of ["links/one", "sizes/random-1", "modes"]) assert.equal(existsSync(join(to, nasty, name)), false);
  const unknown = await agent.run("restore", "latest", join(nasty, "links"), join(nasty, "no"), "--to", newTarget());
  assert.deepEqual([unknown.code, /path-unknown/.test(unknown.stderr)], [1, true]);
});

test("somebody else than root restores what is his to make, and is told of the rest", async ({ skip }) => {
  if (!isRoot) skip("the other tests do it already");
  const agent = await enrol("nobody");
  await agent.report("backup", nasty);
  const own = join(directory, "nobody");
  const nobody = { uid: 65_534, gid: 65_534 };
  execFileSync("chown", ["-R", "65534:65534", own]);
  for (let above = directory; above !== "/dev" && above !== "/tmp"; above = join(above, "..")) chmodSync(above, 0o711);
  const to = join(own, "restored");
  const ended = await costor(["agent", "restore", "latest", "--to", to, "--config", agent.config, "--json"], nobody);
  assert.equal(ended.code, 3, ended.stderr);
  const report = ended.json();
  assert.deepEqual(
    [...new Set(report.failed.map(({ code }: { code: string }) => code))],
    ["EPERM"],
    "devices only: nobody but root makes them",
  );
  assert.equal(report.failedCount, 3);
  const lacking = differences(to, nasty, {
    ignoresOwners: true,
    ignoresXattrs: true,
    excludes: (path) => /^specials\/(null|minor|block)$/.test(path),
    differencesMaxCount: 1000,
  });
  // Setuid and setgid bits go only with their owners.
  assert.deepEqual(
    lacking.filter((line) => !line.startsWith(`"modes/`)),
    [],
  );
  for (const line of lacking) assert.match(line, /mode/);
});

test.run();
