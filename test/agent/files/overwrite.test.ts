// Goal: what a restore does where something is already, for each mode and each pair of types.
import assert from "node:assert/strict";
import { byteStringFromText } from "#protocol/byte-string.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { type OverwriteDecision, type OverwriteMode, decideOverwrite, overwriteModes } from "#agent/files/overwrite.ts";
import type { FileStat } from "#agent/files/stat.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("overwriting");
const named = { name: byteStringFromText("x"), mode: 0o644, uid: 1, gid: 2, mtimeNs: 100n };
const file: TreeObject = { type: "file", ...named, sizeBytes: 10, content: { slices: [] } };
const directory: TreeObject = { type: "directory", ...named, node: { inline: Buffer.alloc(0) } };
const link: TreeObject = { type: "symlink", ...named, target: byteStringFromText("four") };
const device: TreeObject = { type: "character", ...named, major: 1, minor: 3 };

const existing = (changes: Partial<FileStat> = {}): FileStat => ({
  type: "file",
  mode: 0o644,
  uid: 1,
  gid: 2,
  linkCount: 1,
  sizeBytes: 10,
  allocatedBytes: 4096,
  device: 1,
  inode: 5n,
  mtimeNs: 100n,
  ctimeNs: 500n,
  rdevMajor: 0,
  rdevMinor: 0,
  mountId: 0,
  ...changes,
});

/** What comes out in each mode: never, if-changed, if-newer, always. */
function assertDecisions(
  stat: FileStat | undefined,
  object: TreeObject,
  expected: readonly OverwriteDecision[],
  options: { deletes?: boolean; isPassage?: boolean } = {},
): void {
  const decide = (mode: OverwriteMode) => decideOverwrite(stat, object, { mode, deletes: false, ...options });
  assert.deepEqual(overwriteModes.map(decide), expected);
}

test("what is missing is created in every mode", () => {
  for (const object of [file, directory, link, device])
    assertDecisions(undefined, object, ["create", "create", "create", "create"]);
});

test("a file that looks the same keeps its bytes unless all are replaced", () => {
  assertDecisions(existing(), file, ["keep", "attributes", "keep", "replace"]);
});

test("another size or time is a change; only an older file gives way to a newer one", () => {
  assertDecisions(existing({ sizeBytes: 11 }), file, ["keep", "replace", "keep", "replace"]);
  assertDecisions(existing({ mtimeNs: 101n }), file, ["keep", "replace", "keep", "replace"]);
  assertDecisions(existing({ mtimeNs: 99n }), file, ["keep", "replace", "replace", "replace"]);
});

test("symlinks and devices are compared by what they are", () => {
  assertDecisions(existing({ type: "symlink", sizeBytes: 4 }), link, ["keep", "attributes", "keep", "replace"]);
  assertDecisions(existing({ type: "symlink", sizeBytes: 5 }), link, ["keep", "replace", "keep", "replace"]);
  assertDecisions(existing({ type: "character", rdevMajor: 1, rdevMinor: 3 }), device, [
    "keep",
    "attributes",
    "keep",
    "replace",
  ]);
  assertDecisions(existing({ type: "character", rdevMajor: 1, rdevMinor: 5 }), device, [
    "keep",
    "replace",
    "keep",
    "replace",
  ]);
  assertDecisions(existing({ type: "block", rdevMajor: 1, rdevMinor: 3 }), device, [
    "keep",
    "replace",
    "keep",
    "replace",
  ]);
  assertDecisions(existing({ type: "symlink" }), file, ["keep", "replace", "keep", "replace"]);
});

test("directories are entered; their own attributes follow the mode", () => {
  assertDecisions(existing({ type: "directory" }), directory, ["enter", "merge", "enter", "merge"]);
  assertDecisions(existing({ type: "directory", mtimeNs: 99n }), directory, ["enter", "merge", "merge", "merge"]);
});

test("a directory gives way to something else only when deleting is allowed", () => {
  assertDecisions(existing({ type: "directory" }), file, ["conflict", "conflict", "conflict", "conflict"]);
  assertDecisions(existing({ type: "directory" }), file, ["conflict", "replace-tree", "conflict", "replace-tree"], {
    deletes: true,
  });
  assertDecisions(
    existing({ type: "directory", mtimeNs: 1n }),
    file,
    ["conflict", "replace-tree", "replace-tree", "replace-tree"],
    { deletes: true },
  );
});

test("something else gives way to a directory as a file would", () => {
  assertDecisions(existing(), directory, ["conflict", "replace-by-directory", "conflict", "replace-by-directory"]);
  assertDecisions(existing({ type: "symlink", mtimeNs: 1n }), directory, [
    "conflict",
    "replace-by-directory",
    "replace-by-directory",
    "replace-by-directory",
  ]);
});

test("a directory that is only passed through is entered or made, and nothing makes room for it", () => {
  for (const deletes of [false, true]) {
    const options = { isPassage: true, deletes };
    assertDecisions(
      existing({ type: "directory", mtimeNs: 1n }),
      directory,
      ["enter", "enter", "enter", "enter"],
      options,
    );
    for (const type of ["symlink", "file", "socket"] as const)
      assertDecisions(
        existing({ type, mtimeNs: 1n }),
        directory,
        ["conflict", "conflict", "conflict", "conflict"],
        options,
      );
    assertDecisions(undefined, directory, ["create", "create", "create", "create"], options);
  }
});

test("who may give files away changes none in place that could be somebody else's", () => {
  const owner = { uid: 1, gid: 2 };
  const decide = (stat: FileStat, object: TreeObject = file) =>
    decideOverwrite(stat, object, { mode: "if-changed", deletes: false, owner });
  assert.equal(decide(existing()), "attributes");
  for (const changes of [{ uid: 0 }, { gid: 0 }, { mode: 0o600 }, { linkCount: 2 }])
    assert.equal(decide(existing(changes)), "replace", JSON.stringify(changes));
  const linked: TreeObject = { ...file, linkGroup: Buffer.alloc(8), linkCount: 2 };
  assert.equal(decide(existing({ linkCount: 2 }), linked), "attributes");
  assert.equal(decide(existing({ linkCount: 3 }), linked), "replace");
  assert.equal(
    decide(existing({ type: "symlink", sizeBytes: 4, mode: 0o777 }), link),
    "attributes",
    "a symlink's mode means nothing",
  );
});

test.run();
