// Goal: what is extracted from an archive is what went into the snapshot. Method: a real tree with everything in it is
// captured, streamed into GNU tar and bsdtar, and compared; a parser of our own checks the bytes wherever no tool is.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";
import { createTarStream } from "#node/export/tar.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import type { DirectoryObject, TreeObject } from "#protocol/tree.ts";
import { compareTrees } from "#test/support/compare-trees.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { setRawXattr } from "#test/support/raw-files.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { SealedPrimes, captureTree, collect, sampleAttributes } from "./captured-tree.ts";
import { isThere } from "#test/support/test-programs.ts";
import { pipeInto, runTool } from "./extractors.ts";
import { parseTar } from "./tar-parser.ts";

const test = suite("tar export", { timeoutMs: 120_000 });
const isRoot = process.geteuid?.() === 0;
const primes = new SealedPrimes();
let scratch: string;
let object: DirectoryObject;

test.before(async () => {
  scratch = await scratchDirectory("tar");
  mkdirSync(`${scratch}/in`);
  makeTree(`${scratch}/in`, { hasUnreadable: isRoot });
  setRawXattr(Buffer.from(`${scratch}/in/attributes/file`), "user.a=b%3Dc", Buffer.from("=\0\n%"));
  object = captureTree(primes, `${scratch}/in`, "in");
});

/** The captured tree without what no extractor can make: paths longer than PATH_MAX. */
async function extractable(leavesOut: (name: string) => boolean = () => false): Promise<DirectoryObject> {
  const objects: TreeObject[] = [];
  for await (const child of primes.source().tree.objects(object.node))
    if (child.name !== "long" && !leavesOut(child.name)) objects.push(child);
  return { ...object, node: primes.node(objects) };
}

const compareOptions = { ignoresOwners: !isRoot, excludes: (path: string) => path === "long" } as const;

test("GNU tar extracts exactly what was captured", async ({ skip }) => {
  if (!isThere("tar") || !runTool("tar", ["--version"]).stdout.includes("GNU")) skip("GNU tar is not installed");
  mkdirSync(`${scratch}/gnu`);
  const stream = createTarStream(primes.source(), { object: await extractable() });
  const args = [
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--warning=no-unknown-keyword",
    "--warning=no-timestamp",
    "-xpf",
    "-",
  ];
  const result = await pipeInto(stream, "tar", args, `${scratch}/gnu`);
  assert.deepEqual({ status: result.status, stderr: result.stderr }, { status: 0, stderr: "" });
  const comparison = compareTrees(`${scratch}/in`, `${scratch}/gnu/in`, compareOptions);
  assert.deepEqual(comparison.differences, []);
  assert.ok(comparison.objectsCount > 3000);
});

test("bsdtar extracts what was captured, but for what it reads otherwise itself", async ({ skip }) => {
  if (!isThere("bsdtar")) skip("bsdtar is not installed (Debian: libarchive-tools)");
  mkdirSync(`${scratch}/bsd`);
  const stream = createTarStream(primes.source(), { object: await extractable() });
  const result = await pipeInto(stream, "bsdtar", ["--acls", "--xattrs", "-xpf", "-"], `${scratch}/bsd`);
  assert.deepEqual({ status: result.status, stderr: result.stderr }, { status: 0, stderr: "" });
  const { differences } = compareTrees(`${scratch}/in`, `${scratch}/bsd/in`, compareOptions);
  // bsdtar adds the fraction of a time before 1970 instead of subtracting it, and does not unescape names of attributes.
  const others = differences.filter(
    (line) => !/ has mtime -/.test(line) && !line.startsWith('"attributes/file" has extended attributes '),
  );
  assert.deepEqual(others, []);
});

test("every name, link, time, owner and attribute is in the archive as it was captured", async () => {
  const stream = createTarStream(primes.source(), {
    object: await extractable((name) => name === "sparse" || name === "sizes"),
  });
  const archive = await collect(stream);
  assert.equal(archive.length, stream.totals.archiveBytes);
  const members = parseTar(archive);
  assert.equal(members.length, stream.totals.entriesCount);
  const byPath = new Map(members.map((member) => [member.path, member]));
  assert.equal(byPath.get("in/names/\xff\xfe\x80")?.data.toString("latin1"), "\xff\xfe\x80");
  assert.equal(byPath.get("in/names/a\nnewline")?.dataBytes, 9);
  assert.equal(byPath.get(`in/names/${"d".repeat(255)}/${"f".repeat(255)}`)?.data.toString(), "deep name");
  const attributes = byPath.get("in/attributes/file");
  if (attributes?.pax.has("SCHILY.xattr.user.binary")) {
    assert.equal(attributes.pax.get("SCHILY.xattr.user.binary"), "\x00\xff\n\x00=");
    assert.equal(attributes.pax.get("SCHILY.xattr.user.a%3Db%253Dc"), "=\0\n%");
  }
  const links = ["links/inner/large-two", "links/large-one"].map((path) => byPath.get(`in/${path}`));
  assert.deepEqual(
    links.map((link) => link?.type),
    ["0", "1"],
  );
  assert.equal(links[1]?.linkPath, "in/links/inner/large-two");
  assert.equal(byPath.get("in/links/not-utf8")?.linkPath, "\xff\xfe");
});

test("tar-stream reads the same files", async () => {
  const stream = createTarStream(primes.source(), {
    object: await extractable((name) => name === "sparse" || name === "names"),
  });
  const expected = parseTar(
    await collect(
      createTarStream(primes.source(), { object: await extractable((name) => name === "sparse" || name === "names") }),
    ),
  );
  const seen: string[] = [];
  const reader = extract();
  reader.on("entry", (header, data, next) => {
    seen.push(`${header.name} ${header.type} ${header.size}`);
    data.on("end", next).resume();
  });
  await pipeline(Readable.from(stream.chunks, { objectMode: false }), reader);
  assert.equal(seen.length, expected.length);
  assert.ok(seen.includes(`in/sizes/random-${4 * 1024 * 1024 + 1} file ${4 * 1024 * 1024 + 1}`));
});

test("a path of 10,000 bytes is in the archive, and GNU tar lists it", async ({ skip }) => {
  const names = Array.from({ length: 41 }, (_, index) => `${index}-`.padEnd(250, "n"));
  let top: TreeObject = primes.file("end", "the end");
  for (const name of names.toReversed()) top = primes.directory(name, [top]);
  const path = `${names.join("/")}/end`;
  assert.ok(path.length > 10_000);
  const members = parseTar(await collect(createTarStream(primes.source(), { object: top })));
  assert.equal(members.at(-1)?.path, path);
  if (!isThere("tar")) skip("GNU tar is not installed; the archive was checked without it");
  const listed = await pipeInto(createTarStream(primes.source(), { object: top }), "tar", ["-tf", "-"]);
  assert.equal(listed.stdout.toString().trimEnd().split("\n").at(-1), path);
});

test("sizes above 8 GiB, dense and sparse, are in headers as they are", async () => {
  const mib = primes.file("block", Buffer.alloc(1024 * 1024));
  const slices = "slices" in mib.content ? mib.content.slices : [];
  const count = 9 * 1024;
  const dense: TreeObject = {
    ...mib,
    name: "dense" as ByteString,
    sizeBytes: count * 1024 * 1024,
    content: primes.content(Array.from({ length: count }, () => slices[0]!)),
  };
  const { chunks } = createTarStream(primes.source(), { object: dense });
  const head = (await chunks.next()).value!.toString("latin1", 0, 2048);
  await chunks.return();
  assert.ok(head.includes(` size=${9 * 2 ** 30}\n`));

  const sparse: TreeObject = {
    ...mib,
    name: "sparse" as ByteString,
    sizeBytes: 2 ** 50,
    extents: [{ offsetBytes: 2 ** 49, lengthBytes: 1024 * 1024 }],
  };
  const [member] = parseTar(await collect(createTarStream(primes.source(), { object: sparse })));
  assert.equal(member?.path, "sparse");
  assert.equal(member?.pax.get("GNU.sparse.realsize"), String(2 ** 50));
  assert.ok(member?.data.toString("latin1", 0, 512).startsWith(`2\n${2 ** 49}\n${1024 * 1024}\n${2 ** 50}\n0\n\0`));
  assert.equal(member?.dataBytes, 512 + 1024 * 1024);
});

test("a name more than its inode had is a file again, never a link to something forgotten", async () => {
  const linkGroup = Buffer.from("linkgrp1");
  const names = ["a", "b", "c", "d"].map((name) => primes.file(name, "shared", { linkGroup, linkCount: 3 }));
  const members = parseTar(await collect(createTarStream(primes.source(), { node: primes.node(names) })));
  assert.deepEqual(
    members.map((member) => member.type),
    ["0", "1", "1", "0"],
  );
  assert.deepEqual(
    members.map((member) => member.linkPath),
    ["", "a", "a", ""],
  );
});

test("hard-linked symlinks, FIFOs and devices are links too", async () => {
  const group = (text: string) => ({ ...sampleAttributes, linkGroup: Buffer.from(text.padEnd(8)), linkCount: 2 });
  const objects: TreeObject[] = [];
  for (const name of ["1", "2"]) {
    objects.push({ ...group("link"), type: "symlink", name: `l${name}` as ByteString, target: "t" as ByteString });
    objects.push({ ...group("fifo"), type: "fifo", name: `f${name}` as ByteString });
    objects.push({ ...group("block"), type: "block", name: `b${name}` as ByteString, major: 1, minor: 2 });
  }
  const members = parseTar(await collect(createTarStream(primes.source(), { node: primes.node(objects) })));
  assert.deepEqual(
    members.map((member) => `${member.path}${member.type}${member.linkPath}`),
    ["b14", "b21b1", "f16", "f21f1", "l12t", "l21l1"],
  );
});

test("a missing prime ends the stream with its code and without the archive's end", async () => {
  const own = new SealedPrimes();
  const files = Array.from({ length: 8 }, (_, index) => own.file(`${index}`, Buffer.alloc(900_000, index + 1)));
  const last = files[7]!.content;
  own.stored.delete("slices" in last ? last.slices[0]!.prime.id : assert.fail());
  let received = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of createTarStream(own.source(), { node: own.node(files) }).chunks)
        received += chunk.length;
    },
    { code: "prime-missing" },
  );
  assert.ok(received > 0);
});

test("an abort ends the stream", async () => {
  const controller = new AbortController();
  const { chunks } = createTarStream(primes.source(), { object }, { signal: controller.signal });
  await chunks.next();
  controller.abort();
  await assert.rejects(
    async () => {
      for await (const _ of chunks);
    },
    { name: "AbortError" },
  );
});

test.run();
