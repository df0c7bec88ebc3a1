// Goal: a file comes into a directory whole or not at all, with its holes, and replaces only what it is told to.
import assert from "node:assert/strict";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { ExtentMap, NewFile } from "#agent/files/new-file.ts";
import { isTemporaryName, temporaryName } from "#agent/files/temporary-name.ts";
import { suite } from "#test/support/suite.ts";
import { exactPolicy } from "./copy-tree.ts";
import { attributes, fails, name, placeText, refuseNote, scratchPlace } from "./place-fixture.ts";

const test = suite("new files");

test("a file is not seen under its name before it is finished, and closed to others meanwhile", async () => {
  const { path, at, directory } = await scratchPlace();
  const file = new NewFile(directory);
  file.write(Buffer.from("half"), 0);
  const [temporary] = readdirSync(path);
  assert.ok(isTemporaryName(name(temporary!)));
  assert.equal(statSync(at(temporary!)).mode & 0o777, 0o600);
  file.finish(name("done"), 4, attributes, exactPolicy, "never", refuseNote);
  assert.deepEqual(readdirSync(path), ["done"]);
  const stat = lstatSync(at("done"), { bigint: true });
  assert.deepEqual(
    [stat.mode & 0o7777n, stat.mtimeNs, readFileSync(at("done"), "utf8")],
    [0o640n, attributes.mtimeNs, "half"],
  );
  directory.close();
});

test("a file that is given up leaves nothing", async () => {
  const { path, directory } = await scratchPlace();
  {
    using file = new NewFile(directory);
    file.write(Buffer.from("half"), 0);
  }
  assert.deepEqual(readdirSync(path), []);
  directory.close();
});

test("what is there already is replaced only when told so, and never through a symlink", async () => {
  const { path, at, directory } = await scratchPlace();
  writeFileSync(at("outside"), "outside");
  symlinkSync("outside", at("link"));
  writeFileSync(at("file"), "old");
  linkSync(at("file"), at("other name"));
  fails(() => placeText(directory, "file", "new"), "EEXIST");
  fails(() => placeText(directory, "link", "new"), "EEXIST");
  assert.equal(readFileSync(at("file"), "utf8"), "old");
  placeText(directory, "file", "new", { replacing: "replace" });
  placeText(directory, "link", "new", { replacing: "replace" });
  assert.deepEqual(
    ["file", "link", "other name", "outside"].map((entry) => readFileSync(at(entry), "utf8")),
    ["new", "new", "old", "outside"],
  );
  mkdirSync(at("directory"));
  fails(() => placeText(directory, "directory", "new", { replacing: "replace" }), "EISDIR");
  assert.deepEqual(
    readdirSync(path).filter((entry) => isTemporaryName(name(entry))),
    [],
  );
  directory.close();
});

test("holes stay holes, whatever order the data comes in", async () => {
  const { at, directory } = await scratchPlace();
  const sizeBytes = 64 << 20;
  const extents = [
    { offsetBytes: 1 << 20, lengthBytes: 10_000 },
    { offsetBytes: 32 << 20, lengthBytes: 1 },
    { offsetBytes: sizeBytes - 3, lengthBytes: 3 },
  ];
  const content = Buffer.from(Array.from({ length: 10_004 }, (_, index) => index % 251));
  const map = new ExtentMap(extents);
  assert.equal(map.contentBytes, content.length);
  {
    using file = new NewFile(directory);
    for (const start of [9_999, 5_000, 0]) {
      for (const range of map.ranges(start, Math.min(5_000, content.length - start))) {
        file.write(
          content.subarray(range.contentOffsetBytes, range.contentOffsetBytes + range.lengthBytes),
          range.fileOffsetBytes,
        );
      }
    }
    file.finish(name("sparse"), sizeBytes, attributes, exactPolicy, "never", refuseNote);
  }
  const bytes = readFileSync(at("sparse"));
  assert.equal(bytes.length, sizeBytes);
  assert.ok(
    Buffer.concat(
      extents.map((extent) => bytes.subarray(extent.offsetBytes, extent.offsetBytes + extent.lengthBytes)),
    ).equals(content),
  );
  assert.ok(statSync(at("sparse")).blocks * 512 < 1 << 20);
  directory.close();
});

test("an extent map gives every byte once, for any part", () => {
  const map = new ExtentMap([
    { offsetBytes: 10, lengthBytes: 3 },
    { offsetBytes: 20, lengthBytes: 0 },
    { offsetBytes: 30, lengthBytes: 5 },
  ]);
  const fileOffsets = (start: number, length: number) =>
    [...map.ranges(start, length)].flatMap((range) =>
      Array.from({ length: range.lengthBytes }, (_, index) => [
        range.contentOffsetBytes + index,
        range.fileOffsetBytes + index,
      ]),
    );
  const all = [10, 11, 12, 30, 31, 32, 33, 34].map((offset, index) => [index, offset]);
  for (let start = 0; start <= 8; start++) {
    for (let length = 0; length <= 10; length++)
      assert.deepEqual(fileOffsets(start, length), all.slice(start, start + length), `${start}+${length}`);
  }
  assert.deepEqual([...new ExtentMap([]).ranges(0, 5)], []);
});

test("temporary names are told from others", () => {
  assert.ok(isTemporaryName(temporaryName()));
  assert.notEqual(temporaryName(), temporaryName());
  for (const other of ["x", ".costor-restore-", ".costor-restore-mine", `${temporaryName()}.txt`])
    assert.ok(!isTemporaryName(name(other)));
});

test.run();
