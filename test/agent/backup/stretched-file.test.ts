/**
 * Goal: a file that several workers share is cut exactly as one worker would cut it, and one that changes meanwhile is not
 * taken. Method: the real workers, on small stretches, against one sequential pass over the same file.
 */
import assert from "node:assert/strict";
import { createCipheriv, hash } from "node:crypto";
import { appendFileSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { closeDescriptor } from "#agent/files/directory.ts";
import { SealPool } from "#agent/backup/seal-pool.ts";
import { type StretchedFileComponents, cutStretches, isStretched } from "#agent/backup/stretched-file.ts";
import type { StretchDone } from "#agent/backup/worker-messages.ts";
import { cutChunk } from "#protocol/chunking.ts";
import { openPrime } from "#protocol/sealing.ts";
import type { ContentSlice } from "#protocol/tree.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { contentKey, scopeSecret, testScope } from "./backup-fixture.ts";
import { openToRead } from "./reading-fixture.ts";

const MIB = 2 ** 20;

const test = suite("stretched file", { timeoutMs: 120_000 });

let path: string;
test.before(async () => void (path = join(await scratchDirectory("stretched-file"), "file")));

/** Noise that is the same each time, and quicker to make than that of the vectors. */
const noise = (seed: string, lengthBytes: number): Buffer =>
  createCipheriv("aes-256-ctr", hash("sha256", seed, "buffer"), Buffer.alloc(16)).update(Buffer.alloc(lengthBytes));

/** The lengths of the chunks of one pass. */
function chunksOf(bytes: Buffer): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < bytes.length; at += lengths.at(-1)!)
    lengths.push(cutChunk(bytes, at, bytes.length, true, testScope));
  return lengths;
}

interface Cut {
  readonly slices: ContentSlice[] | undefined;
  readonly bytes: Buffer;
  /** Stretches that were cut. */
  readonly count: number;
}

/**
 * Cuts the file by two workers; by one when `onDone` is to run between the first stretch's end and the next one's: a worker
 * asks this thread before it ends a stretch.
 */
async function cut(
  init: { stretchBytes: number; leadInBytes: number },
  meanwhile: { onSubmit?: () => void; onDone?: () => void } = {},
): Promise<Cut> {
  const file = openToRead(path);
  const fatal = Promise.withResolvers<never>();
  await using pool = new SealPool(
    { onFatal: fatal.reject },
    { scopeSecret, contentKey, workersCount: meanwhile.onDone ? 1 : 2 },
  );
  const stored = new Map<string, Uint8Array>();
  let count = 0;
  const components: StretchedFileComponents = {
    submit(stretch, handlers) {
      if (count++ === 0) meanwhile.onSubmit?.();
      const onDone = (done: StretchDone): void => {
        if (stretch.startBytes === 0) meanwhile.onDone?.();
        handlers.onDone(done);
      };
      pool.submitStretch(stretch, { ...handlers, onDone });
    },
    collect: (slices) => ({
      onAsk: async (hashes) => new Uint8Array(hashes.length / 16),
      onChunks({ parts, primes }) {
        for (const part of parts) {
          const { reference, stored: bytes } = primes[-1 - part]!;
          stored.set(reference.id, bytes);
          slices.push({ prime: reference, offsetBytes: 0, lengthBytes: reference.lengthBytes });
        }
      },
    }),
  };
  try {
    const slices = await Promise.race([cutStretches(components, file, init), fatal.promise]);
    const parts = (slices ?? []).map(({ prime }) => openPrime(stored.get(prime.id)!, prime, "content"));
    return { slices, bytes: Buffer.concat(parts), count };
  } finally {
    closeDescriptor(file.descriptor);
  }
}

async function checkEqual(bytes: Buffer, init: { stretchBytes: number; leadInBytes: number }): Promise<number> {
  writeFileSync(path, bytes);
  const result = await cut(init);
  assert.ok(result.slices, "the file stayed as it was");
  assert.deepEqual(
    result.slices.map(({ lengthBytes }) => lengthBytes),
    chunksOf(bytes),
  );
  assert.ok(result.bytes.equals(bytes));
  return result.count;
}

test("noise is cut as in one pass, each stretch once, whatever the rest behind the last one", async () => {
  const bytes = noise("stretched", 53 * MIB);
  assert.equal(await checkEqual(bytes, { stretchBytes: 16 * MIB, leadInBytes: 12 * MIB }), 3);
  assert.equal(await checkEqual(bytes.subarray(0, 32 * MIB), { stretchBytes: 16 * MIB, leadInBytes: 12 * MIB }), 2);
  assert.equal(await checkEqual(bytes.subarray(0, 24 * MIB + 1), { stretchBytes: 16 * MIB, leadInBytes: 12 * MIB }), 2);
});

test("without a lead-in that is long enough, stretches are cut again and come out the same", async () => {
  const count = await checkEqual(noise("short lead-in", 30 * MIB), { stretchBytes: 6 * MIB, leadInBytes: 100 });
  assert.ok(count > 5, `${count} stretches`);
});

test("long runs of equal bytes, in which no lead-in helps, come out the same", async () => {
  const zeros = Buffer.alloc(30 * MIB);
  const start = noise("before", MIB + 12_345);
  const init = { stretchBytes: 8 * MIB, leadInBytes: 6 * MIB };
  const count = await checkEqual(Buffer.concat([start, zeros, noise("behind", 5 * MIB)]), init);
  assert.ok(count > 4, `${count} stretches: some were cut again`);
  await checkEqual(zeros, init);
});

test("chunks that are longer than a stretch pass over it whole", async () => {
  await checkEqual(Buffer.alloc(19 * MIB + 5), { stretchBytes: MIB, leadInBytes: MIB / 2 });
});

test("a file that shrinks, grows, or is written to meanwhile is not taken", async () => {
  const bytes = noise("changing", 10 * MIB);
  const init = { stretchBytes: 3 * MIB, leadInBytes: 2 * MIB };
  const changes: Record<string, () => void> = {
    shrinks: () => truncateSync(path, 6 * MIB),
    empties: () => truncateSync(path, 0),
    grows: () => appendFileSync(path, "more"),
    touched: () => utimesSync(path, 1, 1),
  };
  for (const [what, change] of Object.entries(changes)) {
    for (const moment of ["onSubmit", "onDone"] as const) {
      writeFileSync(path, bytes);
      assert.equal((await cut(init, { [moment]: change })).slices, undefined, `${what}, ${moment}`);
    }
  }
});

test("a file that cannot be read fails with the system's code", async () => {
  writeFileSync(path, noise("unreadable", 8 * MIB));
  await using pool = new SealPool({ onFatal: () => undefined }, { scopeSecret, contentKey, workersCount: 2 });
  const file = openToRead(path);
  closeDescriptor(file.descriptor);
  const components: StretchedFileComponents = {
    submit: pool.submitStretch.bind(pool),
    collect: () => ({ onAsk: async (hashes) => new Uint8Array(hashes.length / 16), onChunks: () => undefined }),
  };
  const attempt = cutStretches(
    components,
    { ...file, descriptor: 1_000_000 },
    { stretchBytes: 2 * MIB, leadInBytes: MIB },
  );
  await assert.rejects(attempt, (error) => (error as { code: string }).code === "EBADF");
});

test("only very large files are shared", () => {
  assert.deepEqual([511 * MIB, 512 * MIB].map(isStretched), [false, true]);
});

test.run();
