/**
 * Goal: when several machines become one site, one wins by the written rule (docs/specs/ledger.md, Logs), the others are told, take no backups and
 * give what they have, and nothing is lost; and what a thief gave up comes back by `site recover --compromised`. Method: real processes on the
 * loopback interface and the commands that people give: two recoveries of one kit at one moment, two on both sides of a cut, the machine before
 * the fire back to life, and a thief with that machine's disk. The tests follow each other; all but the first wait for machines that are told
 * within two minutes, and run at the full level only.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compareLogs, openLog } from "#ledger/entry.ts";
import { memberAddress } from "#node/cli/kit-federation.ts";
import { startFederation } from "#node/cli/running-federation.ts";
import { createLog } from "#node/cli/log.ts";
import { DrillRecord } from "#node/drills/drill-record.ts";
import { readIdentity, siteDirectoryOf } from "#node/site/identity.ts";
import { openSite } from "#node/site/site.ts";
import { openSiteStore } from "#node/site/site-store.ts";
import { RequestedKitFiles } from "#node/site/requested-kit.ts";
import { WayBackFile } from "#node/site/way-back.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import { keyStream } from "#test/bench/generated-content.ts";
import { DemoSite, freePort } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { level } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { runCostorJson } from "../../scripts/costor-process.ts";
import { federate, statusOf, until, untilSafe } from "./federated-sites.ts";

const test = suite("recoveries of one site", { timeoutMs: 400_000 });
const end = new AbortController();
let scratch = "";
let content = "";
/** The content as it was before the fire. */
let before = "";
let kit = "";
let [first, second, burnt] = [] as unknown as [DemoSite, DemoSite, DemoSite];
/** All machines that were ever started. */
const machines: DemoSite[] = [];
let restoresCount = 0;

const refusedWith =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isCostorError(error, code);

function machineOf(name: string, parameters: readonly string[] = []): DemoSite {
  const machine = new DemoSite({
    ...{ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined, parameters },
  });
  machines.push(machine);
  return machine;
}

/** An empty machine, with the configuration of the site's agent for whoever moves it here. */
async function emptyMachine(name: string, parameters?: readonly string[]): Promise<DemoSite> {
  const machine = machineOf(name, parameters);
  [machine.agentPort, machine.peerPort] = [await freePort(), await freePort()];
  await mkdir(join(scratch, name, "agent"), { recursive: true });
  const config = await readFile(join(scratch, burnt.name, "agent/agent.yaml"), "utf8");
  await writeFile(
    join(scratch, name, "agent/agent.yaml"),
    config.replaceAll(`127.0.0.1:${burnt.agentPort}`, `127.0.0.1:${machine.agentPort}`),
    { mode: 0o600 },
  );
  return machine;
}

test.before(async () => {
  scratch = await scratchDirectory("recoveries");
  [first, second, burnt] = ["Aldein", "Brixen", "Corvara"].map((name) => machineOf(name)) as [
    DemoSite,
    DemoSite,
    DemoSite,
  ];
  await federate([first, second, burnt]);
  kit = join(scratch, "kit-in-the-safe.txt");
  await cp(burnt.kit, kit);
  await burnt.enrolAgent();
  content = join(scratch, "content");
  await mkdir(content);
  for (let file = 0; file < 30; file++) await writeFile(join(content, `${file}`), keyStream(`file ${file}`, 90_000));
  before = await copyOf("before");
  await burnt.backUp([content]);
  await untilSafe(burnt, 1);
  await burnt.kill();
});
test.after(async () => {
  await Promise.all(machines.map((machine) => machine.stop()));
});

const isSuperseded = async (site: DemoSite): Promise<boolean> =>
  (await statusOf(site)).alarms.some(({ code }) => code === "superseded");

/** Nothing of the site is lacking there. */
const untilBack = (site: DemoSite): Promise<void> =>
  until(`all of the site is back at ${site.name}`, async () => {
    const { waiting, comesBack, snapshots } = await statusOf(site);
    return waiting === undefined && comesBack === undefined && snapshots.storedCount > 0;
  });

async function addressOf(site: DemoSite): Promise<string> {
  const { members } = await site.call("federationMembers", {});
  const { addresses, peer } = members.find(({ name }) => name === site.name)!;
  return memberAddress(addresses[0]!, peer!);
}

/** Everything of the newest snapshot that the machine has, by its agent. */
async function restores(machine: DemoSite, wanted = content): Promise<void> {
  const target = join(scratch, `restored-${restoresCount++}`);
  await machine.agentCommand(["restore", "latest", "--to", target]);
  assert.deepEqual(treeDifferences(wanted, join(target, content)), []);
}

async function copyOf(name: string): Promise<string> {
  const copy = join(scratch, name);
  // Node rounds times to microseconds.
  execFileSync("cp", ["--archive", content, copy]);
  return copy;
}

const logOf = async (machine: DemoSite) =>
  openLog((await readIdentity(siteDirectoryOf(machine.data))).epochCertificate);

/** The one that is not told of another. By the rule it has the newer log. */
async function winnerOf(pair: readonly [DemoSite, DemoSite]): Promise<{ winner: DemoSite; loser: DemoSite }> {
  const [one, other] = [await logOf(pair[0]), await logOf(pair[1])];
  const [winner, loser] = compareLogs(one, other) < 0 ? pair : [pair[1], pair[0]];
  await until("the other one is told", () => isSuperseded(loser));
  assert.equal(await isSuperseded(winner), false);
  return { winner, loser };
}

let current: DemoSite;

test("of two recoveries at one moment one is the site, and the other ends or is told", async () => {
  const members = [await addressOf(first), await addressOf(second)];
  const pair = [await emptyMachine("one"), await emptyMachine("other")] as const;
  const ends = await Promise.allSettled([pair[0].recover(kit, members), pair[1].recover(kit, members.toReversed())]);
  const failures = ends.flatMap((ended) => (ended.status === "rejected" ? [ended.reason as unknown] : []));
  assert.ok(failures.length < 2, `${failures}`);
  for (const failure of failures) assert.ok(isCostorError(failure, "site-superseded"), `${failure}`);
  if (failures.length === 0) current = (await winnerOf(pair)).winner;
  else current = pair[ends.findIndex(({ status }) => status === "fulfilled")]!;
  for (const machine of pair) if (machine !== current) await machine.stop();
  await restores(current);
  await untilSafe(current, 1);
});

test("recovered on both sides of a cut, one wins when it is over, and what the other was given stays there", async ({
  skip,
}) => {
  if (level !== "full") skip("takes minutes: in the full run only");
  const members = [await addressOf(first), await addressOf(second)] as const;
  await current.kill();
  await second.stop();
  const one = await emptyMachine("this-side");
  await one.recover(kit, [members[0]]);
  await untilBack(one);
  await writeFile(join(content, "on-this-side"), keyStream("on this side", 50_000));
  await one.backUp([content]);
  // It would find the second site, and make itself known there.
  await Promise.all([first.stop(), one.stop()]);
  await second.start();
  const other = await emptyMachine("that-side");
  await other.recover(kit, [members[1]]);
  // Nobody gives it anything any more once another machine is the site.
  await untilBack(other);
  const [oneLog, otherLog] = [await logOf(one), await logOf(other)];
  assert.equal(oneLog.certificate.epoch, otherLog.certificate.epoch, "neither knew of the other");
  await Promise.all([first.start(), one.start()]);
  const { winner, loser } = await winnerOf([one, other]);
  await assert.rejects(loser.backUp([content]), refusedWith("site-superseded"));
  await restores(one);
  await restores(other, before);
  await loser.stop();
  // Its agents go to the winner, which is sent what it lacks.
  await winner.backUp([content]);
  await untilSafe(winner, 2);
  await restores(winner);
  current = winner;
});

test("the machine before the fire is told when it runs again: it takes no backups, and gives what it has", async ({
  skip,
}) => {
  if (level !== "full") skip("takes minutes: in the full run only");
  await burnt.start();
  await until("it is told", () => isSuperseded(burnt));
  assert.equal(await isSuperseded(current), false);
  await assert.rejects(burnt.backUp([content]), refusedWith("site-superseded"));
  await restores(burnt, before);
  await burnt.stop();
  assert.deepEqual((await statusOf(current)).alarms, []);
});

/** Whoever has the machine's disk has its keys: withdraws every snapshot, and signs that nothing is live. */
async function giveUp(machine: DemoSite): Promise<void> {
  await using store = await openSiteStore(machine.data);
  const site = await openSite(machine.data, { store, now: Date.now });
  const parts = {
    ...{ site, log: createLog("silent"), drillRecord: await DrillRecord.open(store) },
    wayBack: new WayBackFile({ dataDirectory: machine.data }),
    requestedKit: new RequestedKitFiles({ dataDirectory: machine.data }),
  };
  const peerListen = `127.0.0.1:${machine.peerPort}`;
  await using running = await startFederation(parts, { peerListen, peerWebsocket: "off", lanDiscovery: false });
  const keys: string[] = [];
  for await (const { key } of store.facts("snapshot")) keys.push(key);
  await until("the ledger takes what it says", async () => {
    await running.forRetention.withdraw!(keys);
    return true;
  });
  await store.appendFacts(keys.map((key) => ({ kind: "snapshot", key, value: undefined })));
  const { siteId } = site.identity;
  await store.release(siteId, (await Array.fromAsync(store.kept(siteId))).flat());
  site.changes.tell({ kind: "collected" });
  await until("it has signed that nothing is live", async () => {
    running.service.send();
    const { slices } = await running.service.status();
    return slices.every(
      ({ count, generation, copies }) =>
        count === 0 && copies.length > 0 && copies.every((copy) => copy.generation === generation),
    );
  });
}

test("what a thief with the machine's disk gave up comes back by `site recover --compromised`, and his machine is the site no more", async ({
  skip,
}) => {
  if (level !== "full") skip("takes minutes: in the full run only");
  await current.stop();
  await giveUp(current);
  const recovering = await emptyMachine("after-the-thief", ["--compromised"]);
  // While a site that keeps something is away not all is back: a store that is lost then must not have the thief believed.
  await second.stop();
  await recovering.recover(kit, [await addressOf(first)]);
  await recovering.stop();
  await rm(join(recovering.data, "store"), { recursive: true });
  const machine = machineOf("after-the-thief");
  machine.agentPort = recovering.agentPort;
  machine.peerPort = recovering.peerPort;
  // Before it: a site that is not there when the machine takes back what is its own is asked again a quarter of an hour later.
  await second.start();
  await until("the others have met again", async () => (await statusOf(second)).connectedCount > 0);
  await machine.start();
  await until("everything is back", async () => {
    const { snapshots, alarms } = await statusOf(machine);
    return snapshots.storedCount >= 2 && alarms.length === 0;
  });
  await assert.rejects(machine.backUp([content]), refusedWith("site-identity-changed"));
  await enrolAgain(machine);
  await restores(machine);
  await machine.backUp([content]);
  await untilSafe(machine, 3);
  await current.start();
  await until("the thief's machine is told", () => isSuperseded(current));
  assert.deepEqual((await statusOf(machine)).alarms, []);
});

/** The machine that backs up, in the place of itself: its snapshots stay its own. */
async function enrolAgain(machine: DemoSite): Promise<void> {
  const config = join(scratch, machine.name, "agent/agent.yaml");
  await rm(config);
  const address = `127.0.0.1:${machine.agentPort}`;
  const words = ["site", "enrol-token", "--name", "office", "--replace", "office", "--address", address];
  const { token } = await machine.command<{ token: string }>(words);
  await runCostorJson(["agent", "enrol", token, "--config", config], end.signal);
}

test.run();
