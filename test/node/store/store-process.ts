/** A process that works on a store and says on its standard output what was acknowledged; to be killed at any moment. */
import { parentPort } from "node:worker_threads";
import { SegmentStore } from "#node/store/segment-store.ts";
import { idsOf, sampleAgent, samplePrimes, sampleSite, wireBatch } from "#test/support/store-samples.ts";
import { writeSync } from "node:fs";

if (parentPort !== null) throw new Error("this is a program of its own");
const [directory, startText] = process.argv.slice(2);
const say = (line: string) => writeSync(1, `${line}\n`);
say("phase open");
const store = await SegmentStore.open({ directory: directory!, segmentBytes: 256 * 1024 });
say("phase upload");
for (let round = Number(startText); ; round++) {
  const primes = samplePrimes(round, 6, 4000);
  await Promise.all([
    store.put(sampleAgent(1), primes.slice(0, 3)).then(() => say(`put ${round} 0 3`)),
    store.put(sampleAgent(1), primes.slice(3)).then(() => say(`put ${round} 3 6`)),
    store.putFor(sampleSite(1), wireBatch(samplePrimes(round + 1_000_000, 2, 3000))).then(() => say(`kept ${round}`)),
  ]);
  await store.appendFacts([{ kind: "test", key: "round", value: Buffer.from(String(round)) }]);
  say(`fact ${round}`);
  if (round % 8 === 7) {
    say(`removing ${round - 5}`);
    say("phase compaction");
    await store.remove([round - 5, round - 4, round - 3].flatMap((old) => idsOf(samplePrimes(old, 6, 4000)).slice(1)));
    say("phase release");
    say(`releasing ${round - 4}`);
    await store.release(sampleSite(1), idsOf(samplePrimes(round - 4 + 1_000_000, 2, 3000)).slice(1));
    say("phase upload");
  }
  if (round % 20 === 19) {
    say("phase rebuild");
    await store.rebuildIndex();
    say("phase upload");
  }
}
