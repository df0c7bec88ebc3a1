/**
 * What other sites send is on the disk and not in the kernel's memory, which this machine's other programs need; what agents send stays
 * there, since its commit reads it again. Method: both on a real disk, then the kernel is asked which pages of the segments it has (mincore).
 */
import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, readdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import koffi from "koffi";
import { SegmentStore } from "#node/store/segment-store.ts";
import { batchEntry } from "#protocol/batch.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { sampleAgent, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("page cache");

const library = koffi.load("libc.so.6");
const mmap = library.func("size_t mmap(size_t, size_t, int, int, int, long)") as (...values: number[]) => number;
const munmap = library.func("int munmap(size_t, size_t)") as (address: number, bytes: number) => number;
const mincore = library.func("int mincore(size_t, size_t, _Out_ uint8_t *)") as (
  ...values: [number, number, Buffer]
) => number;
const [PROT_READ, MAP_SHARED] = [1, 1];
const TMPFS_MAGIC = 0x01021994;
const pageBytes = (library.func("int getpagesize()") as () => number)();

function cachedBytes(path: string): number {
  const descriptor = openSync(path, "r");
  const bytes = fstatSync(descriptor).size;
  const address = mmap(0, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  const pages = Buffer.alloc(Math.ceil(bytes / pageBytes));
  assert.equal(mincore(address, bytes, pages), 0);
  munmap(address, bytes);
  closeSync(descriptor);
  return pages.filter((page) => (page & 1) === 1).length * pageBytes;
}

const primes = samplePrimes(1, 16, 512 * 1024);
const batch = Buffer.concat(primes.flatMap(batchEntry));

/** What the kernel has of the segments after `put`. */
async function cachedAfter(put: (store: SegmentStore) => Promise<unknown>): Promise<number> {
  const directory = await scratchDirectory("page-cache");
  await using store = await SegmentStore.open({ directory, reserveFileBytes: 0 });
  await put(store);
  const segments = join(directory, "segments");
  return readdirSync(segments).reduce((sum, name) => sum + cachedBytes(join(segments, name)), 0);
}

test("what is kept for a site leaves the kernel's memory, what an agent sends stays", async ({ skip }) => {
  if (statfsSync(await scratchDirectory("page-cache")).type === TMPFS_MAGIC) skip("temporary files are in memory here");
  const cold = await cachedAfter((store) => store.putFor(sampleSite(1), batch));
  const warm = await cachedAfter((store) => store.putBatch(sampleAgent(1), batch));
  assert.ok(warm > batch.length / 2, `${warm} bytes of what an agent sent`);
  // But for the pages at its ends, and the file's head.
  assert.ok(cold <= 8 * pageBytes, `${cold} bytes of what is kept for a site`);
});

test.run();
