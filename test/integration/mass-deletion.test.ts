/**
 * Goal: who has an administrator's account and no kit can remove everything from a site, and not from the others: a week long it is put back by a word, and until
 * the lock is over the kit brings it back whole. Method: real processes and the commands that people give; time passes by the clock that each site keeps.
 */
import assert from "node:assert/strict";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { memberAddress } from "#node/cli/kit-federation.ts";
import { createLog } from "#node/cli/log.ts";
import { startFederation } from "#node/cli/running-federation.ts";
import { DrillRecord } from "#node/drills/drill-record.ts";
import { type KeptSnapshot, Retention } from "#node/retention/retention.ts";
import { RequestedKitFiles } from "#node/site/requested-kit.ts";
import { openSite } from "#node/site/site.ts";
import { systemRng } from "#node/site/system-rng.ts";
import { WayBackFile } from "#node/site/way-back.ts";
import { keyStream } from "#test/bench/generated-content.ts";
import { DemoSite, freePort } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { runCostorJson } from "../../scripts/costor-process.ts";
import { federate, pass, until } from "./federated-sites.ts";

const test = suite("mass deletion", { timeoutMs: 400_000 });
const DAY_MS = 24 * 3600_000;
const end = new AbortController();
let scratch = "";
let content = "";
let kit = "";
let [hill, lake, moor] = [] as unknown as [DemoSite, DemoSite, DemoSite];
let again: DemoSite;
const siteOf = (name: string, parameters: readonly string[] = []): DemoSite =>
  new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined, parameters });

test.before(async () => {
  scratch = await scratchDirectory("mass-deletion");
  content = join(scratch, "content");
  await mkdir(content);
  for (let file = 0; file < 30; file++) await writeFile(join(content, `${file}`), keyStream(`file ${file}`, 90_000));
  [hill, lake, moor] = [siteOf("hill"), siteOf("lake"), siteOf("moor")];
  again = siteOf("hill-again", ["--compromised"]);
  await federate([hill, lake, moor]);
  kit = join(scratch, "kit-in-the-safe.txt");
  await cp(hill.kit, kit);
  await hill.enrolAgent();
  for (const text of ["first", "second"]) {
    await writeFile(join(content, "report"), text);
    await hill.backUp([content]);
  }
  await until("both snapshots are safe", async () => {
    await hill.call("federationSend", {});
    return (await hill.call("federationStatus", {})).snapshots.safeCount === 2;
  });
});
test.after(async () => {
  await Promise.all([hill, lake, moor, again].map((site) => site.stop()));
});

const listed = (): Promise<readonly KeptSnapshot[]> => hill.command<KeptSnapshot[]>(["site", "snapshots"]);
const remove = async (): Promise<void> => {
  await hill.command(["site", "snapshot", "remove", ...(await listed()).map(({ id }) => id)]);
};
const seenByAgent = async (): Promise<number> => (await hill.agentCommand<unknown[]>(["snapshots"])).length;
const keptAt = async (site: DemoSite): Promise<number> =>
  (await site.call("federationStatus", {})).kept.reduce((sum, { count }) => sum + count, 0);
let had: number[] = [];

test("what was removed is put back by a word for a week", async () => {
  had = await Promise.all([lake, moor].map(keptAt));
  assert.ok(had.every((count) => count > 10));
  const ids = (await listed()).map(({ id }) => id);
  await remove();
  assert.equal(await seenByAgent(), 0);
  await pass([hill], 6 * DAY_MS);
  await hill.command(["site", "snapshot", "restore", ...ids]);
  assert.equal(await seenByAgent(), 2);
  await hill.agentCommand(["restore", "latest", "--to", join(scratch, "put-back")]);
  assert.deepEqual(treeDifferences(content, join(scratch, "put-back", content)), []);
});

/** What the site does by itself once a day, some time after its start: in this process, since that time is long. */
async function dailyWork(machine: DemoSite): Promise<void> {
  await using store = await machine.openStore();
  const site = await openSite(machine.data, { store, now: Date.now });
  const directory = { dataDirectory: machine.data };
  const parts = {
    ...{ site, log: createLog("silent"), drillRecord: await DrillRecord.open(store) },
    ...{ wayBack: new WayBackFile(directory), requestedKit: new RequestedKitFiles(directory) },
  };
  const peerListen = `127.0.0.1:${machine.peerPort}`;
  await using running = await startFederation(parts, { peerListen, peerWebsocket: "off", lanDiscovery: false });
  const retention = await Retention.open({ site, rng: systemRng, warn: () => {}, ...running.forRetention });
  await until("nothing is left here", async () => {
    await retention.turn();
    return (await site.store.stats()).primesCount === 0;
  });
  await until("it has signed that nothing is live", async () => {
    running.service.send();
    const { slices } = await running.service.status();
    return slices.every(
      ({ count, generation, copies }) => count === 0 && copies.every((copy) => copy.generation === generation),
    );
  });
}

test("after the week it is gone at the site, and nothing of it at the others, for the lock", async () => {
  await remove();
  await pass([hill], 8 * DAY_MS);
  await hill.stop();
  await dailyWork(hill);
  assert.deepEqual(await Promise.all([lake, moor].map(keptAt)), had);
  await pass([lake, moor], 40 * DAY_MS);
  await until("they are there", async () => (await lake.call("federationStatus", {})).connectedCount >= 1);
  assert.deepEqual(await Promise.all([lake, moor].map(keptAt)), had);
});

test("the kit revokes it: all snapshots are back on another machine", async () => {
  await hill.stop();
  [again.agentPort, again.peerPort] = [await freePort(), await freePort()];
  const { members } = await lake.call("federationMembers", {});
  const { addresses, peer } = members.find(({ name }) => name === "lake")!;
  await again.recover(kit, [memberAddress(addresses[0]!, peer!)]);
  await until("everything is back", async () => {
    const { snapshots, alarms } = await again.call("federationStatus", {});
    if (snapshots.storedCount === 2 && alarms.length === 0) return true;
    throw new Error(JSON.stringify({ snapshots, alarms }));
  });
  const config = join(scratch, again.name, "agent/agent.yaml");
  await mkdir(join(scratch, again.name, "agent"), { recursive: true });
  await rm(config, { force: true });
  const where = ["--name", "office", "--replace", "office", "--address", `127.0.0.1:${again.agentPort}`];
  const { token } = await again.command<{ token: string }>(["site", "enrol-token", ...where]);
  await runCostorJson(["agent", "enrol", token, "--config", config], end.signal);
  await again.agentCommand(["restore", "latest", "--to", join(scratch, "revoked")]);
  assert.deepEqual(treeDifferences(content, join(scratch, "revoked", content)), []);
});

test.run();
