// Goal: objects come into a directory with what this machine allows, and what it refuses is told.
import assert from "node:assert/strict";
import { chmodSync, chownSync, lstatSync, mkdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { wantedOwner } from "#agent/files/attributes.ts";
import {
  enterDirectory,
  finishDirectory,
  giveBackMode,
  openBelow,
  placeAttributes,
  placeDirectory,
  placeHardLink,
  placeSpecial,
  placeSymlink,
} from "#agent/files/place.ts";
import { rawXattrs, setRawXattr } from "#test/support/raw-files.ts";
import { suite } from "#test/support/suite.ts";
import { exactPolicy } from "./copy-tree.ts";
import { attributes, fails, isRoot, name, placeText, refuseNote, scratchPlace } from "./place-fixture.ts";

const test = suite("placing");

/** Does something without root's rights. */
function asNobody<Result>(action: () => Result): Result {
  process.setegid!(65_534);
  process.seteuid!(65_534);
  try {
    return action();
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
  }
}

test("a default ACL of the directory does not stay on what is restored into it", async ({ skip }) => {
  const { path, at, directory } = await scratchPlace();
  const entries = [
    [1, 7, -1],
    [2, 7, 1000],
    [4, 5, -1],
    [16, 7, -1],
    [32, 0, -1],
  ] as const;
  const bytes = Buffer.concat([
    Buffer.of(2, 0, 0, 0),
    ...entries.map(([tag, permissions, id]) => {
      const entry = Buffer.alloc(8);
      entry.writeUInt16LE(tag, 0);
      entry.writeUInt16LE(permissions, 2);
      entry.writeInt32LE(id, 4);
      return entry;
    }),
  ]);
  if (!setRawXattr(Buffer.from(path), "system.posix_acl_default", bytes)) skip("no ACLs on this file system");
  writeFileSync(at("control"), "");
  assert.equal(rawXattrs(Buffer.from(at("control"))).length, 1, "the directory hands its ACL down");
  assert.deepEqual(placeText(directory, "file", "text"), []);
  const made = placeDirectory(directory, name("made"));
  finishDirectory(made, attributes, exactPolicy, refuseNote);
  made.close();
  placeSpecial(directory, { type: "fifo", name: name("fifo"), ...attributes }, exactPolicy, "never", refuseNote);
  for (const entry of ["file", "made", "fifo"]) {
    assert.deepEqual(rawXattrs(Buffer.from(at(entry))), [], entry);
    assert.equal(statSync(at(entry)).mode & 0o777, 0o640, entry);
  }
  directory.close();
});

test("a setuid bit goes on only where allowed, and only with its own owner", async ({ skip }) => {
  const { at, directory } = await scratchPlace();
  const privileged = { ...attributes, mode: 0o6755 };
  assert.deepEqual(placeText(directory, "allowed", "x", { attributes: privileged }), []);
  assert.equal(statSync(at("allowed")).mode & 0o7777, 0o6755);
  const policy = { ...exactPolicy, allowsPrivileges: false };
  assert.deepEqual(
    placeText(directory, "stripped", "x", { attributes: privileged, policy }).map((note) => note.kind),
    ["privileges"],
  );
  assert.equal(statSync(at("stripped")).mode & 0o7777, 0o755);
  if (!isRoot) skip("the rest needs root");
  const capability = {
    name: name("security.capability"),
    value: Buffer.from("0100000200040000000000000000000000000000", "hex"),
  };
  placeText(directory, "capable", "x", { attributes: { ...attributes, xattrs: [capability] }, replacing: "replace" });
  assert.equal(rawXattrs(Buffer.from(at("capable"))).length, 1);
  placeText(directory, "capable", "x", {
    attributes: { ...attributes, xattrs: [capability] },
    policy: { ...exactPolicy, allowsPrivileges: false },
    replacing: "replace",
  });
  assert.deepEqual(rawXattrs(Buffer.from(at("capable"))), []);
  directory.close();
});

test("without root an owner that cannot be given is a note, and takes setuid along", async ({ skip }) => {
  if (!isRoot) skip("needs root, to give it up");
  const { path, at, directory } = await scratchPlace();
  chmodSync(path, 0o777);
  const notes = asNobody(() =>
    placeText(directory, "file", "x", { attributes: { ...attributes, mode: 0o4755, uid: 1000, gid: 1000 } }),
  );
  assert.deepEqual(
    notes.map((note) => [note.kind, note.error?.code]),
    [
      ["owner", "EPERM"],
      ["privileges", undefined],
    ],
  );
  const stat = statSync(at("file"));
  assert.deepEqual([stat.uid, stat.mode & 0o7777], [65_534, 0o755]);
  const trusted = { name: name("trusted.x"), value: Buffer.of(1) };
  const refused = asNobody(() =>
    placeText(directory, "second", "x", { attributes: { ...attributes, uid: 65_534, gid: 65_534, xattrs: [trusted] } }),
  );
  assert.deepEqual(
    refused.map((note) => [note.kind, note.error?.code]),
    [["xattr", "EPERM"]],
  );
  directory.close();
});

test("owners go by number, or by name where this machine knows it", () => {
  const theirs = { ...attributes, uid: 7777, gid: 8888, user: "root", group: "no such group" };
  assert.deepEqual(wantedOwner(theirs, exactPolicy), { uid: 7777, gid: 8888 });
  assert.deepEqual(wantedOwner(theirs, { ...exactPolicy, owners: "names" }), { uid: 0, gid: 8888 });
});

test("a directory that was there is entered even when its owner closed it, and gets its mode back", async ({
  skip,
}) => {
  if (!isRoot) skip("needs root, to give it up");
  const { at, directory } = await scratchPlace();
  for (const entry of ["closed", "read-only", "open", "theirs"]) mkdirSync(at(entry));
  for (const entry of [".", "closed", "read-only", "open"]) chownSync(at(entry), 65_534, 65_534);
  for (const [entry, mode] of [
    ["closed", 0],
    ["read-only", 0o555],
    ["theirs", 0o700],
  ] as const)
    chmodSync(at(entry), mode);
  asNobody(() => {
    for (const [entry, previous] of [
      ["closed", 0],
      ["read-only", 0o555],
      ["open", undefined],
    ] as const) {
      const entered = enterDirectory(directory, name(entry));
      assert.equal(entered.previousMode, previous);
      placeText(entered.directory, "file", "in it");
      if (entered.previousMode !== undefined) giveBackMode(entered.directory, entered.previousMode);
      entered.directory.close();
    }
    fails(() => enterDirectory(directory, name("theirs")), "EACCES");
  });
  assert.equal(statSync(at("read-only")).mode & 0o777, 0o555);
  assert.equal(statSync(at("closed")).mode & 0o777, 0);
  directory.close();
});

test("symlinks and FIFOs are made with their attributes, and replace what is there when told so", async () => {
  const { at, directory } = await scratchPlace();
  const link = { type: "symlink", name: name("link"), target: name("/no where"), ...attributes } as const;
  placeSymlink(directory, link, exactPolicy, "never", refuseNote);
  fails(() => placeSymlink(directory, link, exactPolicy, "never", refuseNote), "EEXIST");
  placeSymlink(directory, { ...link, target: name("elsewhere") }, exactPolicy, "replace", refuseNote);
  assert.equal(readlinkSync(at("link")), "elsewhere");
  assert.equal(lstatSync(at("link"), { bigint: true }).mtimeNs, attributes.mtimeNs);
  placeSpecial(directory, { type: "fifo", name: name("link"), ...attributes }, exactPolicy, "replace", refuseNote);
  assert.ok(lstatSync(at("link")).isFIFO());
  const device = { type: "character", name: name("device"), major: 1, minor: 3, ...attributes } as const;
  fails(() => placeSpecial(directory, device, { ...exactPolicy, allowsDevices: false }, "never", refuseNote), "EPERM");
  fails(() => directory.createSymlink(name("x"), "" as typeof link.target), "EINVAL");
  fails(() => directory.createSymlink(name("x"), name("x".repeat(4096))), "ENAMETOOLONG");
  assert.deepEqual(directory.names(), ["link"]);
  directory.close();
});

test("a hard link is made only to the very object that was placed", async () => {
  const { at, directory } = await scratchPlace();
  mkdirSync(at("deep/er"), { recursive: true });
  writeFileSync(at("deep/er/first"), "first");
  const below = openBelow(directory, [name("deep"), name("er")]);
  const identity = below.stat(name("first"));
  below.close();
  const path = ["deep", "er", "first"].map(name);
  placeHardLink(directory, path, identity, directory, name("second"), "never");
  placeHardLink(directory, path, identity, directory, name("second"), "never");
  assert.equal(statSync(at("second")).ino, statSync(at("deep/er/first")).ino);
  writeFileSync(at("third"), "in the way");
  fails(() => placeHardLink(directory, path, identity, directory, name("third"), "never"), "EEXIST");
  placeHardLink(directory, path, identity, directory, name("third"), "replace");
  assert.equal(statSync(at("third")).nlink, 3);
  fails(
    () =>
      placeHardLink(directory, path, { ...identity, inode: identity.inode + 1n }, directory, name("fourth"), "never"),
    "ESTALE",
  );
  assert.deepEqual(directory.names().sort(), ["deep", "second", "third"]);
  directory.close();
});

test("attributes go on an existing object only while it is the one that was decided upon", async () => {
  const { at, directory } = await scratchPlace();
  writeFileSync(at("file"), "text");
  const existing = directory.stat(name("file"));
  placeAttributes(directory, name("file"), existing, { ...attributes, mode: 0o600 }, exactPolicy, refuseNote);
  assert.equal(statSync(at("file")).mode & 0o777, 0o600);
  fails(() => placeAttributes(directory, name("file"), existing, attributes, exactPolicy, refuseNote), "ESTALE");
  directory.close();
});

test.run();
