// Goal: a zip that every common program extracts, with what a zip can hold, and a note about the rest. Method: unzip,
// bsdtar and Python extract and test it; a parser of our own checks both headers of each entry.
import assert from "node:assert/strict";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { createZipStream } from "#node/export/zip.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { compareTrees } from "#test/support/compare-trees.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { SealedPrimes, captureTree, collect, sampleAttributes } from "./captured-tree.ts";
import { isThere } from "#test/support/test-programs.ts";
import { pipeInto, runTool } from "./extractors.ts";
import { parseZip } from "./zip-parser.ts";

const test = suite("zip export", { timeoutMs: 120_000 });
const primes = new SealedPrimes();
const options = { nowMs: 1_700_000_000_000 };
const random = randomBytes(3_000_001);

/** A directory of what a zip can hold: kinds of content, modes, times, names, a symlink. */
function sampleTree(): TreeObject[] {
  return [
    primes.file("empty", ""),
    primes.file("text.txt", "school\n".repeat(2000), { mode: 0o755 }),
    primes.file("large-text", "timetable ".repeat(200_000)),
    primes.file("large-random", random, { mode: 0o600, mtimeNs: -5_000_000_000n }),
    primes.file("small-random", random.subarray(0, 5000)),
    primes.file("Grüße ✓", "unicode"),
    primes.directory("directory", [primes.file("inner", "inner"), primes.directory("empty", [])]),
    {
      ...sampleAttributes,
      type: "symlink",
      name: "link" as ByteString,
      target: "directory/inner" as ByteString,
      mode: 0o777,
    },
    {
      ...primes.file("x", Buffer.alloc(10)),
      name: "sparse" as ByteString,
      sizeBytes: 1_000_010,
      extents: [{ offsetBytes: 500_000, lengthBytes: 10 }],
    },
  ];
}

test("every entry is as it was captured", async () => {
  const stream = createZipStream(primes.source(), { node: primes.node(sampleTree()) }, options);
  const archive = await collect(stream);
  assert.equal(archive.length, stream.totals.archiveBytes);
  const members = new Map(parseZip(archive).map((member) => [Buffer.from(member.name, "latin1").toString(), member]));
  assert.equal(members.size, stream.totals.entriesCount);
  assert.deepEqual(
    [...members.keys()],
    [
      "Grüße ✓",
      "directory/",
      "directory/empty/",
      "directory/inner",
      "empty",
      "large-random",
      "large-text",
      "link",
      "small-random",
      "sparse",
      "text.txt",
    ],
  );
  assert.ok(members.get("large-random")!.plain!.equals(random));
  assert.equal(members.get("large-text")!.plain!.toString(), "timetable ".repeat(200_000));
  assert.equal(members.get("sparse")!.plainBytes, 1_000_010);
  assert.equal(members.get("link")!.plain!.toString(), "directory/inner");
  assert.equal(members.get("link")!.unixMode, 0o120777);
  assert.equal(members.get("text.txt")!.unixMode, 0o100755);
  assert.equal(members.get("directory/")!.unixMode, 0o040755);
  assert.equal(members.get("large-random")!.mtimeSeconds, -5);
  assert.ok(members.get("Grüße ✓")!.isUtf8);
});

test("data that does not shrink costs next to nothing more", async () => {
  const archive = await collect(createZipStream(primes.source(), { object: primes.file("r", random) }, options));
  assert.ok(archive.length < random.length * 1.001 + 500);
});

test("unzip and bsdtar extract it, from a file and from a pipe", async ({ skip }) => {
  const scratch = await scratchDirectory("zip");
  const ways = [
    { name: "unzip", args: ["-q", ...(process.geteuid?.() === 0 ? ["-X"] : []), "-o", "../a.zip"] },
    { name: "bsdtar", args: ["-xpf", "../a.zip"] },
    { name: "bsdtar", args: ["-xpf", "-"], isPiped: true },
  ];
  const missing = ways.filter(({ name }) => !isThere(name)).map(({ name }) => name);
  const start = { node: primes.node(sampleTree()) };
  writeFileSync(`${scratch}/a.zip`, await collect(createZipStream(primes.source(), start, options)));
  mkdirSync(`${scratch}/first`);
  let first: string | undefined;
  for (const [index, { name, args, isPiped }] of ways.entries()) {
    if (missing.includes(name)) continue;
    const into = `${scratch}/${index}`;
    mkdirSync(into);
    const result = isPiped
      ? await pipeInto(createZipStream(primes.source(), start, options), name, args, into)
      : runTool(name, args, into);
    assert.deepEqual({ name, status: result.status, stderr: result.stderr }, { name, status: 0, stderr: "" });
    assert.equal(statSync(`${into}/large-random`).size, random.length);
    assert.equal(
      statSync(`${into}/text.txt`).mode & 0o777,
      isPiped ? statSync(`${into}/text.txt`).mode & 0o777 : 0o755,
    );
    first ??= into;
    // A stream's reader cannot know modes and links, which only the directory at the end tells.
    if (!isPiped && first !== into)
      assert.deepEqual(
        compareTrees(first, into, {
          comparesRoots: false,
          ignoresXattrs: true,
          ignoresExtents: true,
        }).differences.filter((line) => !line.includes("mtime")),
        [],
      );
  }
  // What was extracted is captured again and gives the same entries.
  if (first) {
    const again = await collect(
      createZipStream(primes.source(), { node: captureTree(primes, first, "again").node }, options),
    );
    const names = (archive: Buffer) =>
      parseZip(archive).map((member) => `${member.name} ${member.plainBytes} ${member.unixMode.toString(8)}`);
    assert.deepEqual(names(again), names(await collect(createZipStream(primes.source(), start, options))));
  }
  if (missing.length > 0) skip(`not installed: ${missing.join(", ")}`);
});

test("what a zip cannot hold is told in a note", async () => {
  const objects: TreeObject[] = [
    { ...sampleAttributes, type: "fifo", name: "pipe" as ByteString },
    { ...sampleAttributes, type: "block", name: "disk" as ByteString, major: 8, minor: 0 },
    { ...primes.file("x", "raw name"), name: "caf\xe9" as ByteString },
    { ...primes.file("x", "escapes"), name: "..\\..\\evil" as ByteString },
    primes.file("linked", "linked", { linkGroup: Buffer.alloc(8), linkCount: 2 }),
    primes.file("changed", "changed", { changed: true }),
  ];
  const members = parseZip(await collect(createZipStream(primes.source(), { node: primes.node(objects) }, options)));
  assert.deepEqual(
    members.map(({ name, isUtf8 }) => `${Buffer.from(name, "latin1").toString()} ${isUtf8}`),
    ["..⧵..⧵evil true", "caf\ufffd false", "changed true", "linked true", "COSTOR-NOTES.txt true"],
  );
  const note = members.at(-1)!.plain!.toString();
  for (const line of [
    "named pipe: pipe",
    "device: disk",
    "not UTF-8 and may look wrong: caf\\xe9",
    "backslash became ⧵: ..\\\\..\\\\evil",
    "hard link, here as a file of its own: linked",
    "changed while it was backed up: changed",
  ]) {
    assert.ok(note.includes(line), `${line} in ${note}`);
  }
});

test("a note never takes the name of a file, and is bounded", async () => {
  const objects: TreeObject[] = [primes.file("COSTOR-NOTES.txt", "mine")];
  for (let index = 0; index < 3000; index++)
    objects.push({ ...sampleAttributes, type: "fifo", name: `${index}`.padEnd(250, "p") as ByteString });
  const members = parseZip(
    await collect(createZipStream(primes.source(), { node: primes.node(objects) }, { ...options, noteSuffix: "1" })),
  );
  assert.deepEqual(
    members.map(({ name }) => name),
    ["COSTOR-NOTES.txt", "COSTOR-NOTES-1.txt"],
  );
  assert.ok(members[1]!.plainBytes <= limits.exportNoteBytes + 500);
  assert.match(members[1]!.plain!.toString(), /… and \d+ more\n$/);
});

test("a path too long for a zip is left out and told", async () => {
  let top: TreeObject = primes.file("bottom", "bottom");
  for (let index = 0; index < 140; index++) top = primes.directory("d".repeat(250), [top]);
  const members = parseZip(await collect(createZipStream(primes.source(), { object: top }, options)));
  assert.ok(members.every(({ name }) => name.length <= limits.exportZipPathBytes));
  assert.ok(members.at(-1)!.plain!.toString().includes("the path is too long"));
});

test("more than 65,535 entries make a zip64 that unzip and Python read", async ({ skip }) => {
  const file = primes.file("x", "content");
  const directories = Array.from({ length: 70 }, (_, index) =>
    primes.directory(
      `d${index}`,
      Array.from({ length: 1000 }, (__, inner) => ({ ...file, name: `file-${inner}` as ByteString })),
    ),
  );
  const archive = await collect(createZipStream(primes.source(), { node: primes.node(directories) }, options));
  assert.equal(parseZip(archive).length, 70_070);
  const scratch = await scratchDirectory("zip64");
  writeFileSync(`${scratch}/a.zip`, archive);
  if (isThere("unzip")) assert.match(runTool("unzip", ["-tqq", "a.zip"], scratch).stderr || "ok", /^ok$/);
  if (!isThere("python3")) skip("python3 is not installed; the archive was checked without it");
  const python = runTool(
    "python3",
    ["-c", "import zipfile; z = zipfile.ZipFile('a.zip'); print(len(z.namelist()), z.testzip())"],
    scratch,
  );
  assert.equal(python.stdout.toString(), "70070 None\n");
});

test("one file of more than 4 GiB makes a zip64 that bsdtar reads from a pipe and Python from a file", async ({
  skip,
}) => {
  const sizeBytes = 2 ** 32 + 10;
  const sparse: TreeObject = {
    ...primes.file("x", "end"),
    name: "large" as ByteString,
    sizeBytes,
    extents: [{ offsetBytes: sizeBytes - 3, lengthBytes: 3 }],
  };
  const start = { node: primes.node([sparse, primes.file("later", "behind")]) };
  const archive = await collect(createZipStream(primes.source(), start, options));
  assert.deepEqual(
    parseZip(archive, false).map(({ plainBytes }) => plainBytes),
    [sizeBytes, 6],
  );
  const missing = ["bsdtar", "python3"].filter((tool) => !isThere(tool));
  if (!missing.includes("bsdtar")) {
    const piped = {
      chunks: (async function* () {
        yield archive;
      })(),
    };
    const result = await pipeInto(piped, "sh", ["-c", "bsdtar -xOf - | wc -c"]);
    assert.equal(Number(result.stdout), sizeBytes + 6);
  }
  if (!missing.includes("python3")) {
    const scratch = await scratchDirectory("zip64");
    writeFileSync(`${scratch}/a.zip`, archive);
    const python = runTool(
      "python3",
      [
        "-c",
        "import zipfile; z = zipfile.ZipFile('a.zip'); print([i.file_size for i in z.infolist()], z.read('later'))",
      ],
      scratch,
    );
    assert.equal(python.stdout.toString(), `[${sizeBytes}, 6] b'behind'\n`);
  }
  if (missing.length > 0) skip(`not installed: ${missing.join(", ")}; the archive was checked without`);
});

test("more entries than the limit end in an error that names the way out", async () => {
  const { PackedSizes } = await import("#node/export/packed-sizes.ts");
  const sizes = new PackedSizes({ limitCount: 1 });
  const data = { method: 8, hasDescriptor: true, crc32: 0xdeadbeef, packedBytes: 2 ** 40 + 1 } as const;
  sizes.add(data);
  assert.deepEqual([...sizes.all()], [data]);
  assert.throws(() => sizes.add(data), { code: "limit-exceeded" });
});

test("a missing prime ends the stream with its code and without a directory", async () => {
  const own = new SealedPrimes();
  const file = own.file("a", randomBytes(2_000_000));
  own.stored.delete("slices" in file.content ? file.content.slices[1]!.prime.id : assert.fail());
  await assert.rejects(collect(createZipStream(own.source(), { object: file }, options)), { code: "prime-missing" });
});

test.run();
