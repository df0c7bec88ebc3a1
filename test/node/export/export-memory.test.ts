// Goal: an export of any size needs the same memory. Method: gigabytes and many entries through each stream, bytes only
// counted, and the peak of the process held against its start. Own file: the peak is the process's.
import assert from "node:assert/strict";
import type { ExportStream } from "#node/export/export-source.ts";
import { readRange } from "#node/export/single-file.ts";
import { createTarStream } from "#node/export/tar.ts";
import { createZipStream } from "#node/export/zip.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import type { FileObject, NodePointer } from "#protocol/tree.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { SealedPrimes } from "./captured-tree.ts";

const test = suite("export memory", { timeoutMs: 600_000 });
const primes = new SealedPrimes();
const MIB = 1024 * 1024;
const GROWTH_MAX_BYTES = 200 * MIB;
const entriesCount = count(100_000, 1_000_000);

/** The bytes of a stream, and how much the process grew while it was pulled. */
async function pull(chunks: ExportStream["chunks"]): Promise<{ bytes: number; growthBytes: number }> {
  const startBytes = process.memoryUsage().rss;
  let peakBytes = startBytes;
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  }
  return { bytes, growthBytes: peakBytes - startBytes };
}

function zeros(gib: number): FileObject {
  const block = primes.file("zeros", Buffer.alloc(MIB));
  const slice = "slices" in block.content ? block.content.slices[0]! : assert.fail();
  return {
    ...block,
    sizeBytes: gib * 1024 * MIB,
    content: primes.content(Array.from({ length: gib * 1024 }, () => slice)),
  };
}

test("5 GiB in one file pass in constant memory, as tar and as a file", async () => {
  const object = zeros(5);
  const tar = await pull(createTarStream(primes.source(), { object }).chunks);
  assert.equal(tar.bytes, 5 * 1024 * MIB + 2048 + 512);
  const file = await pull(readRange(primes.source(), object, {}).chunks!);
  assert.equal(file.bytes, 5 * 1024 * MIB);
  assert.ok(
    Math.max(tar.growthBytes, file.growthBytes) < GROWTH_MAX_BYTES,
    `grew by ${tar.growthBytes} and ${file.growthBytes} bytes`,
  );
});

test("a sparse file of 20 GiB is a small archive", async () => {
  const object: FileObject = {
    ...primes.file("s", "data"),
    sizeBytes: 20 * 1024 * MIB,
    extents: [{ offsetBytes: 10 * 1024 * MIB, lengthBytes: 4 }],
  };
  const { bytes } = await pull(createTarStream(primes.source(), { object }).chunks);
  assert.ok(bytes < 8192);
});

test("many entries pass in nearly constant memory, as tar and as zip", async () => {
  const file = primes.file("x", "content");
  const node: NodePointer = primes.node(
    Array.from({ length: entriesCount / 100 }, (_, index) =>
      primes.directory(
        `directory-${index}`,
        Array.from({ length: 99 }, (__, inner) => ({ ...file, name: `file-${inner}.txt` as ByteString })),
      ),
    ),
  );
  for (const create of [createTarStream, createZipStream]) {
    const stream = create(primes.source(), { node });
    const { growthBytes } = await pull(stream.chunks);
    assert.equal(stream.totals.entriesCount, entriesCount);
    assert.ok(growthBytes < GROWTH_MAX_BYTES + 32 * entriesCount, `${create.name} grew by ${growthBytes} bytes`);
  }
});

test.run();
