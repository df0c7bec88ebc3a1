/**
 * Fills a store with primes of no value and removes them, so that it compacts its segments; what else is in those is
 * moved. A process of its own, since nothing at a site removes primes yet. Usage: compaction-process.ts DIRECTORY SEED
 */
import { hash } from "node:crypto";
import { SegmentStore } from "#node/store/segment-store.ts";
import { parseAgentId, primeIdFromBytes } from "#protocol/ids.ts";

const [directory, seed] = process.argv.slice(2);
const primesCount = 24;
const primeBytes = 64 * 1024;
const segmentBytes = 512 * 1024;

const primes = Array.from({ length: primesCount }, (_, index) => {
  const block = hash("sha256", `${seed}/${index}`, "buffer");
  const stored = Buffer.alloc(primeBytes, block);
  return { id: primeIdFromBytes(hash("sha256", stored, "buffer")), stored };
});
await using store = await SegmentStore.open({ directory: directory!, segmentBytes, reserveFileBytes: 0 });
await store.put(parseAgentId("018b0000-0000-7000-8000-000000000000"), primes);
const { removedSegmentsCount } = await store.remove(primes.map(({ id }) => id));
process.stdout.write(`${JSON.stringify({ removedSegmentsCount })}\n`);
