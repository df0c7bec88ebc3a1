/** A recovery onto an empty machine: records from the ledger, what is missed, primes as they come, and what is settled then. Begun again after each crash. */
import assert from "node:assert/strict";
import { recoverRecords } from "#node/federation/recovered-records.ts";
import { readAgents } from "#node/site/agent-registry.ts";
import { RegainedSnapshots } from "#node/site/regained-snapshots.ts";
import { SitePrimes } from "#node/site/site-primes.ts";
import { SnapshotKeeps } from "#node/site/snapshot-keeps.ts";
import { SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";
import { parseSnapshotId } from "#protocol/ids.ts";
import { RetainedSite } from "#test/node/retention/retained-site.ts";
import { wireBatch } from "#test/support/store-samples.ts";
import { kitRoot, type ToldSite, toldSite } from "#test/support/told-site.ts";
import type { CrashWorkload } from "../crash-workload.ts";

interface Promised {
  readonly hasRecords: boolean;
  readonly here: ReadonlySet<PrimeId>;
}

/** The site before the fire, as its ledger and its holders have it. */
interface Lost {
  readonly ledger: ToldSite["ledger"];
  readonly siteId: SiteId;
  readonly agent: AgentId;
  readonly snapshots: readonly string[];
  readonly primes: ReadonlyMap<PrimeId, Buffer>;
}

const SNAPSHOTS_COUNT = 6;
const BATCH_COUNT = 5;

async function lostSite(): Promise<Lost> {
  const before = await RetainedSite.open();
  const agent = before.enrol();
  const { ledger, siteId, tell } = await toldSite(agent);
  for (let count = 0; count < SNAPSHOTS_COUNT; count++)
    await before.backUp(agent, ["always", `a ${count}`, `b ${count}`, `c ${count}`]);
  const snapshots: string[] = [];
  for await (const { key, value } of before.store.facts("snapshot")) {
    snapshots.push(key);
    await tell({ kind: "snapshot", agent, snapshot: parseSnapshotId(key.split("/")[1]!) }, value);
  }
  const primes = new Map<PrimeId, Buffer>();
  for await (const page of before.store.sent()) for (const id of page) primes.set(id, await before.store.get(id));
  return { ledger, siteId, agent, snapshots, primes };
}

/** What a machine does that becomes the site; `told` is called after each step, with what is here for good. */
async function recover(
  store: PrimeStore,
  { ledger, siteId, primes }: Lost,
  told: (hasRecords: boolean, here: readonly PrimeId[]) => Promise<void>,
): Promise<void> {
  await recoverRecords({ store, ledger, now: () => 9 }, { siteId, kitRoot, isTakenOver: false });
  await told(true, []);
  const sealer = { seal: async (plain: Uint8Array) => plain, open: async (sealed: Uint8Array) => sealed };
  const snapshots = new SnapshotRegistry({ store, sealer });
  const sitePrimes: SitePrimes = new SitePrimes({ store, isReturning: () => regained.isAny }, { siteId });
  const regained = await RegainedSnapshots.open({ store, primes: sitePrimes, snapshots }, { siteId });
  await store.keep(siteId, [...primes.keys()]);
  await told(true, []);
  const lost = (await Array.fromAsync(store.lostOf(siteId))).flat();
  for (let at = 0; at < lost.length; at += BATCH_COUNT) {
    const ids = lost.slice(at, at + BATCH_COUNT);
    await store.putFor(siteId, wireBatch(ids.map((id) => ({ id, stored: primes.get(id)! }))));
    await told(true, ids);
  }
  assert.deepEqual(await regained.settle(), [], "no snapshot is put aside");
  await told(true, []);
  const keep = (ids: readonly PrimeId[]): Promise<void> => store.keep(siteId, ids);
  await new SnapshotKeeps({ store, primes: sitePrimes, keep, snapshots, regained }).run(({ error }) => {
    throw error;
  });
  await told(true, []);
}

export function recoveredSite(): CrashWorkload<Promised> {
  let lost: Lost | undefined;
  return {
    title: "recovery",
    async record(recorder) {
      lost = await lostSite();
      const here = new Set<PrimeId>();
      const told = (hasRecords: boolean, more: readonly PrimeId[]): Promise<void> => {
        for (const id of more) here.add(id);
        return recorder.note({ hasRecords, here: new Set(here) });
      };
      const store = await recorder.open();
      await told(false, []);
      await recover(store, lost, told);
      assert.ok(here.size > 20, `${here.size} primes come back`);
    },
    async verify(store, { promised }) {
      const { siteId, agent, snapshots, primes } = lost!;
      const missed = new Set((await Array.fromAsync(store.lostOf(siteId))).flat());
      const kept = new Set((await Array.fromAsync(store.kept(siteId))).flat());
      for (const id of promised?.here ?? []) assert.ok(kept.has(id) && !missed.has(id), `prime ${id} is lost again`);
      if (promised?.hasRecords === true) await assertRecords(store, snapshots);
      await recover(store, lost!, async () => undefined);
      await assertRecords(store, snapshots);
      assert.deepEqual(await Array.fromAsync(store.facts("regained")), [], "all are like any other snapshot");
      for (const [id, stored] of primes) assert.ok((await store.get(id)).equals(stored));
      assert.ok(!(await store.hasSent(agent, [...primes.keys()])).includes(false));
    },
  };
}

async function assertRecords(store: PrimeStore, snapshots: readonly string[]): Promise<void> {
  const found = (await Array.fromAsync(store.facts("snapshot"))).map(({ key }) => key);
  assert.deepEqual(found, snapshots, "a snapshot is lost");
  assert.equal((await Array.fromAsync(readAgents(store))).length, 1, "the machine is lost");
}
