/**
 * Goal: an archive read ahead is the same archive, each prime is fetched once, several at a time, and no more is held than the bound.
 * Method: a backup in memory; the archive with and without, and the calls that are made.
 */
import assert from "node:assert/strict";
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findExportStart } from "#node/export/export-source.ts";
import { OpenedPrimes } from "#node/export/opened-primes.ts";
import { createTarStream } from "#node/export/tar.ts";
import { createZipStream } from "#node/export/zip.ts";
import { ReadAhead } from "#node/rescue/read-ahead.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { ContentSlice } from "#protocol/tree.ts";
import { TestMachine } from "#test/agent/backup/backup-fixture.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("reading ahead", { timeoutMs: 120_000 });

async function backedUp() {
  const machine = await TestMachine.make("read-ahead");
  for (let i = 0; i < 3; i++) {
    mkdirSync(join(machine.source, `d${i}`));
    for (let j = 0; j < 20; j++) writeFileSync(join(machine.source, `d${i}`, `small-${j}`), noise(`${i} ${j}`, 3000));
    writeFileSync(join(machine.source, `d${i}`, "large"), noise(`${i}`, 5_000_000));
  }
  linkSync(join(machine.source, "d0/large"), join(machine.source, "d2/other-name"));
  await machine.backUp();
  return machine;
}

async function archived(machine: TestMachine, isAhead: boolean, create = createTarStream) {
  const { site } = machine;
  const asked: PrimeId[] = [];
  let [running, most] = [0, 0];
  const counted = {
    async *readPrimes(ids: readonly PrimeId[], signal?: AbortSignal) {
      asked.push(...ids);
      most = Math.max(most, ++running);
      try {
        yield* site.readPrimes(ids, signal);
      } finally {
        running--;
      }
    },
  };
  const tree = site.reader;
  const start = await findExportStart({ tree }, site.root(), []);
  using ahead = new ReadAhead({ site: counted, tree }, { start, limitBytes: 1_000_000 });
  const direct = async (id: PrimeId) => (await Array.fromAsync(counted.readPrimes([id])))[0]!.stored;
  const fetchPrime = isAhead ? (id: PrimeId) => ahead.fetchPrime(id) : direct;
  if (!isAhead) ahead[Symbol.dispose]();
  const opened = new OpenedPrimes({ fetchPrime }, { limitBytes: limits.exportOpenedBytes });
  const source = { tree, openSlice: (slice: ContentSlice) => opened.openSlice(slice) };
  const { chunks } = create(source, start, { noteSuffix: "x", nowMs: 0 } as object);
  return { bytes: Buffer.concat(await Array.fromAsync(chunks)), asked, most };
}

let machine: TestMachine;
test.before(async () => {
  machine = await backedUp();
});

test("a tar and a zip are the same, and each prime is fetched once", async () => {
  for (const create of [createTarStream, createZipStream]) {
    const direct = await archived(machine, false, create);
    const ahead = await archived(machine, true, create);
    assert.ok(direct.bytes.equals(ahead.bytes));
    // A further name of an inode carries its content in a zip, and that is fetched again either way.
    assert.ok(ahead.asked.length <= direct.asked.length);
    if (create === createTarStream) assert.equal(new Set(ahead.asked).size, ahead.asked.length);
  }
});

test("who takes nothing has no more than the bound fetched", async () => {
  const { site } = machine;
  let bytes = 0;
  const counted = {
    async *readPrimes(ids: readonly PrimeId[], signal?: AbortSignal) {
      for await (const prime of site.readPrimes(ids, signal)) {
        bytes += prime.stored.length;
        yield prime;
      }
    },
  };
  const start = await findExportStart({ tree: site.reader }, site.root(), []);
  const ahead = new ReadAhead({ site: counted, tree: site.reader }, { start, limitBytes: 0 });
  for (let turn = 0; turn < 500; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  assert.ok(bytes > 1_000_000 && bytes < 9_000_000, `${bytes}`);
  ahead[Symbol.dispose]();
});

test("a prime that is lost fails under its own id, and those around it are given", async () => {
  const { asked } = await archived(machine, true);
  const lost = asked[Math.floor(asked.length / 2)]!;
  machine.site.lose(lost);
  await assert.rejects(
    archived(machine, true),
    (error) => isCostorError(error, "prime-missing") && error.message.includes(lost),
  );
});

test.run();
