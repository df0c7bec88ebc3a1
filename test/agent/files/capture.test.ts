// Goal: attributes, extents and owners are captured as they are, and what cannot be read is told. Method: set by the
// tests' own calls, read by the product's.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, renameSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { captureAttributes, captureExtents, captureSpecial } from "#agent/files/capture.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import { findDataExtents } from "#agent/files/holes.ts";
import { OsError } from "#agent/files/os-error.ts";
import { groupName, groupNumber, userName, userNumber } from "#agent/files/owner-names.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { STAT_BYTES } from "#agent/files/stat.ts";
import { listXattrs, readXattrs, removeXattr, setXattr } from "#agent/files/xattrs.ts";
import { makeNode, rawXattrs, setRawXattr, setTimesNs } from "#test/support/raw-files.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const isRoot = process.geteuid!() === 0;
const test = suite("capture");
const name = byteStringFromText;

const refuseProblem = (error: OsError): never => assert.fail(error.message);

async function scratch() {
  const path = await scratchDirectory("capture");
  return { path, at: (entry: string) => join(path, entry), directory: openRoot(name(path)) };
}

test("a file's attributes are captured in byte order, binary and empty values too", async ({ skip }) => {
  const { at, directory } = await scratch();
  writeFileSync(at("file"), "text", { mode: 0o640 });
  setTimesNs(Buffer.from(at("file")), -1n);
  if (!setRawXattr(Buffer.from(at("file")), "user.b", Buffer.from([0, 255, 0])))
    skip("no attributes on this file system");
  setRawXattr(Buffer.from(at("file")), "user.a", Buffer.alloc(0));
  setRawXattr(Buffer.from(at("file")), "user.\xff", Buffer.alloc(3000, 7));
  const stat = Buffer.alloc(STAT_BYTES);
  directory.statInto(name("file"), stat);
  const fd = directory.openSameFile(name("file"), stat);
  const captured = captureAttributes(stat, { fd, isPathOnly: false }, refuseProblem);
  assert.deepEqual(captured, {
    mode: 0o640,
    uid: process.geteuid!(),
    gid: process.getegid!(),
    user: execFileSync("id", ["-un"], { encoding: "utf8" }).trim(),
    group: execFileSync("id", ["-gn"], { encoding: "utf8" }).trim(),
    mtimeNs: -1n,
    xattrs: [
      { name: "user.a", value: Buffer.alloc(0) },
      { name: "user.b", value: Buffer.from([0, 255, 0]) },
      { name: "user.\xff", value: Buffer.alloc(3000, 7) },
    ],
  });
  closeDescriptor(fd);
  directory.close();
});

test("attributes are set and removed by descriptor and by what a descriptor names", async ({ skip }) => {
  const { at, directory } = await scratch();
  writeFileSync(at("file"), "");
  if (!setRawXattr(Buffer.from(at("file")), "user.probe", Buffer.of(1))) skip("no attributes on this file system");
  for (const isPathOnly of [false, true]) {
    const holder = { fd: isPathOnly ? directory.openPath(name("file")) : directory.openFile(name("file")), isPathOnly };
    setXattr(holder, name("user.set"), Buffer.from("value"));
    setXattr(holder, name("user.empty"), Buffer.alloc(0));
    assert.deepEqual(listXattrs(holder), ["user.empty", "user.probe", "user.set"]);
    assert.equal(Buffer.from(readXattrs(holder, refuseProblem)[2]!.value).toString(), "value");
    removeXattr(holder, name("user.set"));
    removeXattr(holder, name("user.set"));
    removeXattr(holder, name("user.empty"));
    assert.deepEqual(rawXattrs(Buffer.from(at("file"))), ["user.probe=01"]);
    closeDescriptor(holder.fd);
  }
  directory.close();
});

test("a symlink and a FIFO are captured by themselves, never what they lead to", async () => {
  const { at, directory } = await scratch();
  writeFileSync(at("target"), "");
  setRawXattr(Buffer.from(at("target")), "user.of-target", Buffer.of(1));
  symlinkSync("target", at("link"));
  makeNode(Buffer.from(at("fifo")), 0o010600);
  const stat = Buffer.alloc(STAT_BYTES);
  if (isRoot)
    for (const entry of ["link", "fifo"]) assert.ok(setRawXattr(Buffer.from(at(entry)), "trusted.own", Buffer.of(2)));
  for (const [entry, target] of [
    ["link", "target"],
    ["fifo", undefined],
  ] as const) {
    directory.statInto(name(entry), stat);
    const captured = captureSpecial(directory, name(entry), stat, refuseProblem);
    assert.equal(captured.target, target);
    assert.deepEqual(captured.attributes.xattrs, isRoot ? [{ name: "trusted.own", value: Buffer.of(2) }] : undefined);
  }
  renameSync(at("target"), at("link"));
  directory.statInto(name("fifo"), stat);
  assert.throws(
    () => captureSpecial(directory, name("link"), stat, refuseProblem),
    (error) => error instanceof OsError && error.code === "ESTALE",
  );
  directory.close();
});

test("data and holes are told apart, at the start, in the middle and at the end", async () => {
  const { at, directory } = await scratch();
  const mebi = 1 << 20;
  const cases: [string, number, [number, number][]][] = [
    ["only a hole", 3 * mebi, []],
    ["data first", 3 * mebi, [[0, 65_536]]],
    ["data last", 3 * mebi, [[3 * mebi - 65_536, 65_536]]],
    [
      "data in the middle",
      3 * mebi,
      [
        [mebi, 65_536],
        [2 * mebi, 131_072],
      ],
    ],
  ];
  for (const [title, sizeBytes, data] of cases) {
    const fd = openSync(at("file"), "w+");
    ftruncateSync(fd, sizeBytes);
    for (const [offset, length] of data) writeSync(fd, Buffer.alloc(length, 1), 0, length, offset);
    assert.deepEqual(
      findDataExtents(fd, sizeBytes),
      data.map(([offsetBytes, lengthBytes]) => ({ offsetBytes, lengthBytes })),
      title,
    );
    closeSync(fd);
  }
  for (const sizeBytes of [0, 1, 100_000]) {
    writeFileSync(at("dense"), Buffer.alloc(sizeBytes));
    const stat = Buffer.alloc(STAT_BYTES);
    directory.statInto(name("dense"), stat);
    const fd = directory.openSameFile(name("dense"), stat);
    assert.equal(captureExtents(fd, stat), undefined);
    closeDescriptor(fd);
  }
  directory.close();
});

test("with more extents than the limit the smallest holes count as data, and no data is lost", async () => {
  const { at } = await scratch();
  const fd = openSync(at("file"), "w+");
  const count = 300;
  const offsets: number[] = [];
  for (let index = 0, at = 0; index < count; index++) {
    offsets.push(at);
    writeSync(fd, Buffer.of(1), 0, 1, at);
    // Holes of 60 KiB, and every thirtieth one of 1 MiB.
    at += index % 30 === 29 ? 1 << 20 : 65_536;
  }
  const sizeBytes = offsets.at(-1)! + 65_536;
  ftruncateSync(fd, sizeBytes);
  assert.equal(findDataExtents(fd, sizeBytes, count)!.length, count);
  for (const maxCount of [count - 1, 100, 20, 10]) {
    const extents = findDataExtents(fd, sizeBytes, maxCount)!;
    assert.ok(extents.length <= maxCount);
    assert.ok(
      offsets.every((offset) =>
        extents.some((extent) => extent.offsetBytes <= offset && offset < extent.offsetBytes + extent.lengthBytes),
      ),
    );
    for (const [index, extent] of extents.entries())
      if (index > 0) assert.ok(extent.offsetBytes > extents[index - 1]!.offsetBytes + extents[index - 1]!.lengthBytes);
  }
  assert.equal(findDataExtents(fd, sizeBytes, 20)!.length, 10, "the large holes stay");
  closeSync(fd);
});

test("attributes beyond the limit in sum are left out and told", async ({ skip }) => {
  const { at, directory } = await scratch();
  writeFileSync(at("file"), "");
  if (!setRawXattr(Buffer.from(at("file")), "user.a", Buffer.alloc(500))) skip("no attributes on this file system");
  setRawXattr(Buffer.from(at("file")), "user.b", Buffer.alloc(500));
  setRawXattr(Buffer.from(at("file")), "user.c", Buffer.alloc(1));
  const fd = directory.openFile(name("file"));
  const within = (totalMaxBytes?: number) => {
    const problems: string[] = [];
    const xattrs = readXattrs({ fd, isPathOnly: false }, (error) => void problems.push(error.code), totalMaxBytes);
    return { names: xattrs.map((xattr) => xattr.name), problems };
  };
  const all = { names: ["user.a", "user.b", "user.c"], problems: [] };
  assert.deepEqual(within(506 * 2 + 7), all);
  assert.deepEqual(within(), all);
  assert.deepEqual(within(506 * 2 - 1), { names: ["user.a"], problems: ["E2BIG"] });
  closeDescriptor(fd);
  directory.close();
});

test("names of owners are those of the system, both ways", () => {
  assert.deepEqual([userName(0), groupName(0)], ["root", "root"]);
  assert.deepEqual([userNumber("root"), groupNumber("root")], [0, 0]);
  const [user, uid] = execFileSync("getent", ["passwd", "daemon"], { encoding: "utf8" })
    .split(":")
    .filter((_, index) => index === 0 || index === 2);
  assert.deepEqual([userName(Number(uid)), userNumber(user!)], [user, Number(uid)]);
  assert.deepEqual(
    [userName(3_999_999_999), groupName(3_999_999_999), userNumber("no such user"), groupNumber("")],
    [undefined, undefined, undefined, undefined],
  );
  assert.equal(userName(0), "root", "an answer before does not spoil the next");
});

test("the newest record comes with what is captured", async () => {
  const { at, directory } = await scratch();
  symlinkSync("target", at("link"));
  const stat = Buffer.alloc(STAT_BYTES);
  directory.statInto(name("link"), stat);
  setTimesNs(Buffer.from(at("link")), 42n);
  assert.equal(captureSpecial(directory, name("link"), stat, refuseProblem).attributes.mtimeNs, 42n);
  directory.close();
});

test.run();
