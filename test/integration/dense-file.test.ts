/**
 * Goal: a dense file, far larger than any buffer, comes back byte by byte. Method: content from a seed, which is made again to
 * compare with, so that the file can go before it is restored. `COSTOR_DENSE_BYTES` says how large it is.
 */
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { createReadStream, createWriteStream, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { count } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { EnrolledMachines } from "./enrolled-machines.ts";

const MIB = 1024 * 1024;
const lengthBytes = Number(process.env["COSTOR_DENSE_BYTES"] ?? count(48 * MIB + 1, 1024 * MIB + 1));
const test = suite("dense file", { timeoutMs: 120_000 + lengthBytes / 2_000 });

/** Noise that no compressor shrinks and no chunk of which occurs twice. */
function* content(): Generator<Buffer> {
  const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, 1), Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  for (let left = lengthBytes; left > 0; left -= MIB) yield cipher.update(zeros.subarray(0, Math.min(MIB, left)));
}

async function assertSameContent(path: string): Promise<void> {
  assert.equal(statSync(path).size, lengthBytes);
  const expected = content();
  let piece: Buffer = Buffer.alloc(0);
  let at = 0;
  for await (const read of createReadStream(path, { highWaterMark: MIB })) {
    for (let done = 0; done < read.length;) {
      if (piece.length === 0) piece = expected.next().value as Buffer;
      const length = Math.min(piece.length, read.length - done);
      const isSame = piece.compare(read, done, done + length, 0, length) === 0;
      assert.ok(isSame, `it differs between ${at} and ${at + length}`);
      piece = piece.subarray(length);
      done += length;
      at += length;
    }
  }
}

test(`a file of ${lengthBytes} bytes comes back after it is gone`, async () => {
  const machines = await EnrolledMachines.start("dense", 0);
  try {
    const directory = await scratchDirectory("dense");
    const path = join(directory, "file");
    await pipeline(Readable.from(content(), { objectMode: false }), createWriteStream(path));
    const agent = await machines.enrol("dense");
    const backup = await agent.report("backup", path);
    assert.deepEqual([backup.filesCount, backup.bytes, backup.readBytes], [1, lengthBytes, lengthBytes]);
    const second = await agent.report("backup", path);
    assert.equal(second.sentBytes, 0);
    rmSync(path);
    await agent.report("restore", "latest", "--to", join(directory, "restored"));
    await assertSameContent(join(directory, "restored", path));
  } finally {
    await machines.site.stop();
  }
});

test.run();
