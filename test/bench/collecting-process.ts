/**
 * A site's store in a process of its own, for the scenario `gc`. `fill DIR COUNT` backs up so many primes, and then once more without three
 * tenths of them; `collect DIR` removes the first snapshot, lets its grace pass and does the daily work, while another agent sends
 * a prime again and again. Writes one line of JSON.
 */
import { createHash } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { StoreProxy } from "#node/store/store-proxy.ts";
import { type AgentId, type PrimeId, type SessionId, type SnapshotId, makeUuidV7 } from "#protocol/ids.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { DAY_MS, RetainedSite } from "#test/node/retention/retained-site.ts";
import { wireBatch } from "#test/support/store-samples.ts";
import { TreeMaker, whole } from "#test/support/trees.ts";

const [step, directory, countText] = process.argv.slice(2) as ["fill" | "collect", string, string];
const FILES_PER_DIRECTORY_COUNT = 500;
const LIVE_RATIO = 0.7;
/** Small: what is measured goes by their number. */
const STORED_BYTES = 64;
const SENDING_EVERY_MS = 20;

/** What a walk does not open may hold anything. */
function prime(number: number): { id: PrimeId; stored: Buffer } {
  const stored = createHash("sha512").update(`prime ${number}`).digest().subarray(0, STORED_BYTES);
  return { id: createHash("sha256").update(stored).digest("hex") as PrimeId, stored };
}

function file(maker: TreeMaker, name: string, id: PrimeId): TreeObject {
  const { content: _, ...rest } = maker.file(name) as Extract<TreeObject, { type: "file" }>;
  maker.primes.length = 0;
  return {
    ...rest,
    sizeBytes: STORED_BYTES,
    content: { slices: [whole({ id, key: Buffer.alloc(32), lengthBytes: STORED_BYTES })] },
  };
}

async function fill(site: RetainedSite, count: number): Promise<object> {
  const agent = makeUuidV7(1) as AgentId;
  const maker = new TreeMaker();
  for (const ratio of [1, LIVE_RATIO]) {
    const snapshotId = makeUuidV7(site.clock.now()) as SnapshotId;
    const { id } = await site.sessions.start(agent, { job: "all", snapshotId });
    const send = (primes: Parameters<typeof wireBatch>[0]) =>
      site.sessions.putBatch(agent, id as SessionId, wireBatch(primes));
    const directories: TreeObject[] = [];
    for (let from = 0; from < count * ratio; from += FILES_PER_DIRECTORY_COUNT) {
      const primes = Array.from({ length: FILES_PER_DIRECTORY_COUNT }, (_, at) => prime(from + at));
      const files = primes.map((one, at) => file(maker, `file ${at}`, one.id));
      const node = maker.node(files);
      await send([...primes, ...maker.primes.splice(0)]);
      directories.push(maker.directory(`directory ${from}`, node));
    }
    const root = maker.node(directories);
    await send(maker.primes.splice(0));
    const roots = [Buffer.from("/").toString("base64")];
    const counts = { objectsCount: count, filesCount: count, bytes: count, unreadableCount: 0, startedMs: 0 };
    const request = { snapshotId, job: "all", roots, ...counts, root: nodePointerToWire(root) };
    await site.sessions.commit(agent, id as SessionId, request);
    site.clock.pass(1000);
  }
  return await site.store.stats();
}

async function collect(site: RetainedSite): Promise<object> {
  const [first] = await site.retention.snapshots();
  await site.retention.remove([first!.id]);
  site.clock.pass(8 * DAY_MS);
  const sender = makeUuidV7(2) as AgentId;
  const { id } = await site.sessions.start(sender, { job: "all", snapshotId: makeUuidV7(3) });
  const ending = new AbortController();
  let longestPutMs = 0;
  let longestStartMs = 0;
  const beforeBytes = process.memoryUsage.rss();
  let peakBytes = 0;
  const sending = (async () => {
    for (let number = 0; !ending.signal.aborted; number++) {
      const beganMs = performance.now();
      await site.sessions.putBatch(sender, id as SessionId, wireBatch([prime(-1 - number)]));
      const keptMs = performance.now();
      // Waits for the turns in which a collection takes.
      await site.sessions.alone(async () => undefined);
      longestPutMs = Math.max(longestPutMs, keptMs - beganMs);
      longestStartMs = Math.max(longestStartMs, performance.now() - keptMs);
      peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
      await setTimeout(SENDING_EVERY_MS);
    }
  })();
  const startMs = performance.now();
  await site.retention.turn();
  const totalMs = performance.now() - startMs;
  ending.abort();
  await sending;
  const { last } = await site.retention.state();
  return { totalMs, longestPutMs, longestStartMs, beforeBytes, peakBytes, ...last };
}

await using store = await StoreProxy.open({ directory });
const site = await RetainedSite.open({ store });
console.log(JSON.stringify(step === "fill" ? await fill(site, Number(countText)) : await collect(site)));
