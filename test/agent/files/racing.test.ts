// Goal: somebody who exchanges directories and files for symlinks while a scan or a restore runs gains nothing: nothing
// outside the tree is read, changed or removed. Method: another process exchanges them without pause; each race counts
// that it was met on both sides, and that plain paths would have lost it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  type BigIntStats,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import type { SymlinkObject } from "#protocol/tree.ts";
import { Directory, closeDescriptor } from "#agent/files/directory.ts";
import { NewFile } from "#agent/files/new-file.ts";
import { OsError, isOsError } from "#agent/files/os-error.ts";
import {
  enterDirectory,
  finishDirectory,
  placeDirectory,
  placeHardLink,
  placeSpecial,
  placeSymlink,
} from "#agent/files/place.ts";
import { removeEntry } from "#agent/files/remove-tree.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { STAT_BYTES } from "#agent/files/stat.ts";
import { DirectoryStack } from "#agent/files/walk.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { exactPolicy } from "./copy-tree.ts";

const isRoot = process.geteuid!() === 0;
const raceMs = process.env["COSTOR_TEST_LEVEL"] === "full" ? 20_000 : 1_500;
const test = suite("races", { timeoutMs: 90_000 });

const name = (text: string) => byteStringFromText(text);
const attributes = { mode: 0o777, uid: isRoot ? 1000 : process.geteuid!(), gid: process.getegid!(), mtimeNs: 1n };
const SECRET = "the secret outside";

interface Scene {
  readonly root: string;
  readonly outside: string;
}

/** A tree with `swap`, a directory, and `link`, a symlink to a directory outside that has the same names in it. */
async function makeScene(): Promise<Scene> {
  const folder = await scratchDirectory("race");
  const [root, outside] = [join(folder, "root"), join(folder, "outside")];
  for (const directory of [root, join(root, "swap"), join(root, "swap/inner"), outside, join(outside, "inner")])
    mkdirSync(directory);
  for (const [directory, text] of [
    [join(root, "swap"), "innocent"],
    [outside, SECRET],
  ] as const) {
    writeFileSync(join(directory, "file"), text);
    writeFileSync(join(directory, "inner/file"), text);
  }
  writeFileSync(join(root, "plain"), "innocent");
  symlinkSync(outside, join(root, "link"));
  symlinkSync(join(outside, "file"), join(root, "plain-link"));
  return { root, outside };
}

/** All that could be changed outside: contents, attributes, times. */
function pictureOf(directory: string): unknown[] {
  const facts = (stat: BigIntStats) => [
    stat.ino,
    stat.mode,
    stat.uid,
    stat.gid,
    stat.size,
    stat.mtimeNs,
    stat.ctimeNs,
    stat.nlink,
  ];
  return (readdirSync(directory, { recursive: true }) as string[])
    .sort()
    .map((path) => [path, ...facts(lstatSync(join(directory, path), { bigint: true }))]);
}

/** Does `step` again and again while another process exchanges the pairs; gives what came out. */
async function race(
  pairs: readonly string[],
  step: (round: number) => void,
): Promise<{ done: number; refused: number; exchanges: number }> {
  const swapper = spawn(
    process.execPath,
    [...runtimeFlags, fileURLToPath(import.meta.resolve("./name-swapper.ts")), ...pairs],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  const counts = { done: 0, refused: 0 };
  await once(swapper.stdout, "data");
  try {
    const endMs = performance.now() + raceMs;
    for (let round = 0; performance.now() < endMs; round++) {
      try {
        step(round);
        counts.done++;
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        counts.refused++;
      }
    }
  } finally {
    await stop(swapper, (output) => (exchanges = Number(output)));
  }
  return { ...counts, exchanges };
}

let exchanges = 0;

async function stop(swapper: ChildProcess, onOutput: (text: string) => void): Promise<void> {
  swapper.stdout!.on("data", (data) => onOutput(String(data)));
  swapper.stdin!.end();
  await once(swapper, "close");
}

function assertWasRaced(counts: { done: number; refused: number; exchanges: number }): void {
  assert.ok(counts.exchanges > 100, `exchanged only ${counts.exchanges} times`);
  assert.ok(counts.done > 0 && counts.refused > 0, `the race was not met on both sides: ${JSON.stringify(counts)}`);
}

function readAll(fd: number): string {
  const bytes = Buffer.alloc(100);
  return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0));
}

test("plain paths lose the race, so it is one", async () => {
  const { root } = await makeScene();
  let leakedCount = 0;
  await race([join(root, "swap"), join(root, "link")], () => {
    if (lstatSync(join(root, "swap")).isDirectory() && readFileSync(join(root, "swap/file"), "utf8") === SECRET)
      leakedCount++;
  });
  assert.ok(leakedCount > 0);
});

test("a scan reads nothing outside", async () => {
  const { root, outside } = await makeScene();
  const before = pictureOf(outside);
  using directory = openRoot(name(root));
  const stat = Buffer.alloc(STAT_BYTES);
  const counts = await race(
    [join(root, "swap"), join(root, "link"), join(root, "plain"), join(root, "plain-link")],
    () => {
      directory.statInto(name("plain"), stat);
      const file = directory.openSameFile(name("plain"), stat);
      const plain = readAll(file);
      closeDescriptor(file);
      assert.equal(plain, "innocent");
      using stack = new DirectoryStack(directory.duplicate());
      for (const names of [["swap"], ["swap", "inner"]]) {
        for (const part of names.slice(stack.depthCount)) stack.push(name(part));
        stack.current.statInto(name("file"), stat);
        const fd = stack.current.openSameFile(name("file"), stat);
        const text = readAll(fd);
        closeDescriptor(fd);
        assert.equal(text, "innocent");
      }
    },
  );
  assertWasRaced(counts);
  assert.deepEqual(pictureOf(outside), before);
});

test("a restore changes nothing outside", async () => {
  const { root, outside } = await makeScene();
  const before = pictureOf(outside);
  using directory = openRoot(name(root));
  const identity = directory.stat(name("plain"));
  const ignoreNote = () => {};
  const counts = await race([join(root, "swap"), join(root, "link")], (round) => {
    using swap = enterDirectory(directory, name("swap")).directory;
    using file = new NewFile(swap);
    file.write(Buffer.from("restored"), 0);
    file.finish(name("file"), 8, attributes, exactPolicy, "replace", ignoreNote);
    const link: SymlinkObject = { type: "symlink", name: name("a-link"), target: name(outside), ...attributes };
    placeSymlink(swap, link, exactPolicy, "replace", ignoreNote);
    placeSpecial(swap, { type: "fifo", name: name("a-fifo"), ...attributes }, exactPolicy, "replace", ignoreNote);
    placeHardLink(directory, [name("plain")], identity, swap, name("hard"), "replace");
    const made = placeDirectory(swap, name(`made-${round}`));
    finishDirectory(made, attributes, exactPolicy, ignoreNote);
    made.close();
    removeEntry(swap, name(`made-${round}`));
    // By the path from the root, as a hard link to an object placed earlier is found.
    placeHardLink(directory, [name("swap"), name("hard")], identity, directory, name("hard-too"), "replace");
  });
  assertWasRaced(counts);
  assert.deepEqual(pictureOf(outside), before);
});

test("removing a tree removes nothing outside", async () => {
  const { root, outside } = await makeScene();
  const before = pictureOf(outside);
  using directory = openRoot(name(root));
  const counts = await race([join(root, "swap"), join(root, "link")], () => {
    using swap = directory.openChild(name("swap"));
    for (const part of ["inner", "extra"])
      if (swap.statIfExists(name(part)) === undefined) swap.createDirectory(name(part));
    removeEntry(swap, name("inner"));
    removeEntry(directory, name("swap"));
    // What went was the directory or the symlink; its name stays free until it is made again.
    if (directory.stat(name("link")).type === "symlink") directory.createDirectory(name("swap"));
    else directory.createSymlink(name("swap"), name(outside));
  });
  assertWasRaced(counts);
  assert.deepEqual(pictureOf(outside), before);
});

/** A directory whose owner puts something else in the place of each new object at the worst moment. */
class MeddledDirectory extends Directory {
  meddle: (temporary: ByteString) => void = () => {};

  override createSymlink(newName: ByteString, target: ByteString): void {
    super.createSymlink(newName, target);
    this.meddle(newName);
  }

  override createNode(newName: ByteString, typeBits: number): void {
    super.createNode(newName, typeBits);
    this.meddle(newName);
  }

  override createDirectory(newName: ByteString): void {
    super.createDirectory(newName);
    this.meddle(newName);
  }
}

test("an object exchanged between its making and its attributes is not touched", async () => {
  const { root, outside } = await makeScene();
  const secret = join(outside, "file");
  const opened = openRoot(name(join(root, "swap")));
  using directory = new MeddledDirectory(opened.fd);
  const facts = () => {
    const { mode, uid, gid, mtimeMs } = lstatSync(secret);
    return { mode, uid, gid, mtimeMs };
  };
  const before = facts();
  const link: SymlinkObject = { type: "symlink", name: name("new"), target: name("target"), ...attributes };
  let takenCount = 0;
  const stale = (error: unknown) => isOsError(error) && (error.code === "ESTALE" || error.code === "ENOTDIR");
  for (const replacement of ["hard link", "symlink"]) {
    directory.meddle = (temporary) => {
      renameSync(join(root, "swap", temporary), join(root, `taken-${takenCount++}`));
      if (replacement === "hard link") linkSync(secret, join(root, "swap", temporary));
      else symlinkSync(secret, join(root, "swap", temporary));
    };
    assert.throws(() => placeSymlink(directory, link, exactPolicy, "never", () => {}), stale);
    assert.throws(
      () => placeSpecial(directory, { ...attributes, type: "fifo", name: name("new") }, exactPolicy, "never", () => {}),
      stale,
    );
    assert.throws(() => placeDirectory(directory, name(`directory for a ${replacement}`)), stale);
  }
  const others: readonly ((path: string) => void)[] = [
    (path) => writeFileSync(join(path, "something"), ""),
    (path) => chmodSync(path, 0o755),
    ...(process.geteuid!() === 0 ? [(path: string) => chownSync(path, 1000, 1000)] : []),
  ];
  for (const [at, makeOther] of others.entries()) {
    directory.meddle = (made) => {
      const path = join(root, "swap", made);
      rmdirSync(path);
      mkdirSync(path, 0o700);
      makeOther(path);
    };
    assert.throws(() => placeDirectory(directory, name(`another directory ${at}`)), stale);
  }
  assert.deepEqual(facts(), before);
});

test.run();
