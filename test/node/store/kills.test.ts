/** A process that writes to a store is killed with SIGKILL at random moments; the next one finds all that was acknowledged. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { SegmentStore } from "#node/store/segment-store.ts";
import { hasCode } from "#test/conformance/prime-store.ts";
import { count } from "#test/support/level.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, type SamplePrime, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("store under kill -9", { timeoutMs: count(120_000, 3_600_000) });

interface Acknowledged {
  readonly puts: Map<number, Set<number>>;
  /** Rounds whose primes for a site were kept, and those of which some may be released. */
  readonly kept: Set<number>;
  readonly releasing: Set<number>;
  round: number;
  nextRound: number;
  readonly removing: Set<number>;
}

const siteRound = (round: number): SamplePrime[] => samplePrimes(round + 1_000_000, 2, 3000);

/** Runs the process until it is killed; returns the phase it was in. */
async function runAndKill(directory: string, lifeMs: number, known: Acknowledged): Promise<string> {
  const program = new URL("./store-process.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [program, directory, String(known.nextRound)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const started = new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
  await Promise.race([started, closed]);
  await wait(lifeMs);
  assert.equal(child.exitCode, null, "it ended by itself");
  child.kill("SIGKILL");
  await closed;
  let phase = "start";
  // A line that the kill cut off was not said.
  for (const line of text.split("\n").slice(0, -1)) {
    const [what, ...words] = line.split(" ");
    const [first, from, to] = words.map(Number) as [number, number, number];
    if (what === "phase") phase = words[0]!;
    else if (what === "put") {
      const at = known.puts.get(first) ?? new Set();
      for (let index = from; index < to; index++) at.add(index);
      known.puts.set(first, at);
    } else if (what === "fact") known.round = first;
    else if (what === "kept") known.kept.add(first);
    else if (what === "releasing") known.releasing.add(first);
    else if (what === "removing") for (const round of [first, first + 1, first + 2]) known.removing.add(round);
    if (what === "put" || what === "fact") known.nextRound = Math.max(known.nextRound, first + 1);
  }
  return phase;
}

async function verify(directory: string, known: Acknowledged): Promise<void> {
  const store = await SegmentStore.open({ directory, segmentBytes: 256 * 1024 });
  try {
    for (const [round, indexes] of known.puts) {
      const primes = samplePrimes(round, 6, 4000).filter(
        (_, at) => indexes.has(at) && (at === 0 || !known.removing.has(round)),
      );
      const sent = await store.hasSent(
        sampleAgent(1),
        primes.map(({ id }) => id),
      );
      assert.deepEqual(
        sent,
        primes.map(() => true),
        `round ${round}`,
      );
      const found = await store.getMany(primes.map(({ id }) => id));
      assert.ok(found.every((bytes, at) => bytes.equals(primes[at]!.stored)));
    }
    for (const round of known.kept) {
      const primes = siteRound(round).filter((_, at) => at === 0 || !known.releasing.has(round));
      assert.ok(!(await store.hasKept(sampleSite(1), idsOf(primes))).includes(false), `kept in round ${round}`);
      const found = await store.getMany(idsOf(primes));
      assert.ok(found.every((bytes, at) => bytes.equals(primes[at]!.stored)));
    }
    assert.ok((await store.keptTotals()).every(({ lostCount }) => lostCount === 0));
    const fact = await store.fact("test", "round");
    if (known.round >= 0) assert.ok(Number(fact?.toString()) >= known.round);
    await store.whenVerified();
    const dump = await store.dump();
    await store.rebuildIndex();
    assert.deepEqual(await store.dump(), dump);
    const report = await store.check({ readData: true });
    assert.deepEqual(report.findings, []);
  } finally {
    await store[Symbol.asyncDispose]();
  }
}

test("nothing acknowledged is lost, whenever it is killed", async () => {
  const directory = await scratchDirectory("kills");
  const known: Acknowledged = {
    puts: new Map(),
    kept: new Set(),
    releasing: new Set(),
    round: -1,
    nextRound: 0,
    removing: new Set(),
  };
  const random = seededRandom(Number(process.env["COSTOR_KILL_SEED"] ?? 1));
  const phases = new Map<string, number>();
  for (let kill = 0; kill < count(15, 1000); kill++) {
    const phase = await runAndKill(directory, Math.floor(random() * random() * 500), known);
    phases.set(phase, (phases.get(phase) ?? 0) + 1);
    await verify(directory, known);
    // Only the newest are looked at again.
    for (const round of known.puts.keys()) if (round < known.nextRound - 60) known.puts.delete(round);
    for (const round of known.kept) if (round < known.nextRound - 60) known.kept.delete(round);
  }
  process.stdout.write(`\n  kills by phase: ${[...phases].map(([phase, kills]) => `${phase} ${kills}`).join(", ")}\n`);
});

test("a recovery that is killed anywhere loses no fact that the index still knew", async () => {
  const directory = await scratchDirectory("kills");
  const segmentBytes = 20 * 1024;
  const oracle = new StoreOracle();
  const store = await SegmentStore.open({ directory, segmentBytes, reserveFileBytes: 0 });
  await oracle.setFact(store, "removed", "early");
  await oracle.keep(store, sampleSite(2), idsOf(samplePrimes(0, 1, 40)));
  for (let round = 0; round < 3; round++) {
    await oracle.put(store, sampleAgent(1), samplePrimes(round, 3, 4000));
    await oracle.setFact(store, `key ${round}`, "only once");
    await oracle.keep(store, sampleSite(1), idsOf(samplePrimes(round, 3, 4000)));
  }
  await oracle.setFact(store, "removed", undefined);
  await oracle.release(store, sampleSite(2), idsOf(samplePrimes(0, 1, 40)));
  for (let round = 3; round < 5; round++) await oracle.put(store, sampleAgent(1), samplePrimes(round, 3, 4000));
  await store[Symbol.asyncDispose]();
  const program = new URL("./opening-process.ts", import.meta.url).pathname;
  for (const failpoint of ["start.replaying", "sync.written", "sync.synced", "index.entered"]) {
    let kills = 0;
    for (let isKilled = true; isKilled; kills++) {
      const copy = await scratchDirectory("kills");
      await cp(directory, copy, { recursive: true });
      await rm(join(copy, "segments", "00000002.seg"));
      const child = spawn(process.execPath, [program, copy, String(segmentBytes)], {
        stdio: ["ignore", "inherit", "inherit"],
        env: { ...process.env, COSTOR_FAILPOINT: `${failpoint}:${kills + 1}` },
      });
      const [code] = (await once(child, "close")) as [number | null];
      isKilled = code === null;
      if (!isKilled) assert.equal(code, 0);
      const opened = await SegmentStore.open({ directory: copy, segmentBytes, reserveFileBytes: 0 });
      await oracle.verify(opened, { ...oracle.promises(), claims: [] }, new Set(oracle.primes.keys()));
      const dump = await opened.dump();
      await opened.rebuildIndex();
      assert.deepEqual(await opened.dump(), dump);
      await opened[Symbol.asyncDispose]();
    }
    assert.ok(kills > 1, `${failpoint} is passed`);
  }
});

test("a store that another process has open is refused, and is free once that one was killed", async () => {
  const directory = await scratchDirectory("kills");
  const program = new URL("./store-process.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [program, directory, "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  try {
    await new Promise<void>((resolve) => {
      let text = "";
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        text += part;
        if (text.includes("fact 3")) resolve();
      });
    });
    for (let attempt = 0; attempt < 5; attempt++)
      await assert.rejects(SegmentStore.open({ directory }), hasCode("store-locked"));
    assert.equal(child.exitCode, null);
  } finally {
    child.kill("SIGKILL");
    await closed;
  }
  const store = await SegmentStore.open({ directory });
  assert.ok(Number((await store.fact("test", "round"))?.toString()) >= 3);
  await store[Symbol.asyncDispose]();
});

test.run();
