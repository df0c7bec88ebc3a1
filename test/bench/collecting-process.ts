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
import { measureSides } from "./measure.ts";
import { wireBatch } from "#test/support/store-samples.ts";
import { TreeMaker, whole } from "#test/support/trees.ts";

const [step, directory, countText] = process.argv.slice(2) as ["fill" | "collect", string, string];
const FILES_PER_DIRECTORY_COUNT = 500;
const LIVE_RATIO = 0.7;
/** Small: what is measured goes by their number. */
const STORED_BYTES = 64;
/** So small that what is dead fills whole ones, which then are emptied. */
const SEGMENT_BYTES = 16 * 1024 * 1024;
const SENDING_EVERY_MS = 20;
/** How long waits are measured before the collection, for comparison: the machine may be busy with other work. */
const BEFORE_MS = 10_000;

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
      // What the agent has sent already it does not send again.
      await send([...(ratio === 1 ? primes : []), ...maker.primes.splice(0)]);
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

interface Waits {
  /** From a batch with one prime to its answer. */
  longestPutMs: number;
  /** For what the opening of a session waits for: the turns in which a collection takes. */
  longestStartMs: number;
  /** Most processor time that this process took during either: what is waited for where nothing else runs, but for the disk. */
  longestCpuMs: number;
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

async function send(site: RetainedSite, sender: AgentId, session: SessionId, signal: AbortSignal): Promise<Waits> {
  const waits: Waits = { longestPutMs: 0, longestStartMs: 0, longestCpuMs: 0 };
  while (!signal.aborted) {
    const [beganMs, beganCpuMs] = [performance.now(), cpuMs()];
    await site.sessions.putBatch(sender, session, wireBatch([prime(-1 - sentCount++)]));
    const [keptMs, keptCpuMs] = [performance.now(), cpuMs()];
    await site.sessions.alone(async () => undefined);
    waits.longestCpuMs = Math.max(waits.longestCpuMs, keptCpuMs - beganCpuMs, cpuMs() - keptCpuMs);
    waits.longestPutMs = Math.max(waits.longestPutMs, keptMs - beganMs);
    waits.longestStartMs = Math.max(waits.longestStartMs, performance.now() - keptMs);
    await setTimeout(SENDING_EVERY_MS);
  }
  return waits;
}
let sentCount = 0;

async function collect(site: RetainedSite): Promise<object> {
  const [first] = await site.retention.snapshots();
  await site.retention.remove([first!.id]);
  site.clock.pass(8 * DAY_MS);
  const sender = makeUuidV7(2) as AgentId;
  const { id } = await site.sessions.start(sender, { job: "all", snapshotId: makeUuidV7(3) });
  const before = await send(site, sender, id as SessionId, AbortSignal.timeout(BEFORE_MS));
  const beforeBytes = process.memoryUsage.rss();
  const ending = new AbortController();
  const sending = send(site, sender, id as SessionId, ending.signal);
  const startCpuMs = cpuMs();
  let allCpuMs = 0;
  let waits: Waits | undefined;
  const turn = async (): Promise<void> => {
    await site.retention.turn();
    allCpuMs = cpuMs() - startCpuMs;
    ending.abort();
    waits = await sending;
  };
  const { wallSeconds, peakBytes } = await measureSides([process.pid], turn);
  const { last } = await site.retention.state();
  return {
    totalMs: wallSeconds * 1000,
    cpuMs: allCpuMs,
    before,
    ...waits,
    beforeBytes,
    peakBytes: peakBytes[0],
    ...last,
  };
}

await using store = await StoreProxy.open({ directory, segmentBytes: SEGMENT_BYTES });
const site = await RetainedSite.open({ store });
console.log(JSON.stringify(step === "fill" ? await fill(site, Number(countText)) : await collect(site)));
