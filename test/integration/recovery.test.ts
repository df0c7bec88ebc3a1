/**
 * Goal: a site that burnt comes back on an empty machine with its kit and one site that is left, whatever ends it meanwhile; its agent goes on as if
 * nothing had been, and the machine before it is told. Method: real processes on the loopback interface and the commands that people give; the
 * tests follow each other. Primes are compared byte by byte, and a restore with what was backed up.
 */
import assert from "node:assert/strict";
import { cp, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { memberAddress } from "#node/cli/kit-federation.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { keyStream } from "#test/bench/generated-content.ts";
import { readableOf } from "#test/demo/demo-federation.ts";
import { DemoSite, freePort } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { federate, statusOf, until, untilSafe } from "./federated-sites.ts";

const test = suite("recovery of a site", { timeoutMs: 400_000 });
const end = new AbortController();
let sites: DemoSite[] = [];
let burnt: DemoSite;
let scratch = "";
let kit = "";
let siteId: SiteId;
let restoresCount = 0;
const refusedWith =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isCostorError(error, code);
let content = "";
let primes: ReadonlyMap<PrimeId, Buffer>;

test.before(async () => {
  scratch = await scratchDirectory("recovery");
  sites = ["Aldein", "Brixen", "Corvara", "Deutschnofen"].map(
    (name) => new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined }),
  );
  burnt = sites[3]!;
  await federate(sites);
  await burnt.enrolAgent();
  kit = join(scratch, "kit-in-the-safe.txt");
  await cp(join(scratch, burnt.name, "kit.txt"), kit);
  content = join(scratch, "content");
  await mkdir(join(content, "deep", "er"), { recursive: true });
  for (let file = 0; file < 60; file++)
    await writeFile(join(content, file % 2 === 0 ? "deep" : "deep/er", `${file}`), keyStream(`file ${file}`, 90_000));
  await writeFile(join(content, "large"), keyStream("large", 20_000_000));
});
test.after(async () => {
  await Promise.all(sites.map((site) => site.stop()));
});

/** All that it keeps of its own, while it does not run. */
const ownOf = async (site: DemoSite): Promise<ReadonlyMap<PrimeId, Buffer>> => readableOf(site, siteId);

async function addressesOf(name: string): Promise<string[]> {
  const { members } = await sites[0]!.call("federationMembers", {});
  return members
    .filter((member) => member.name === name)
    .flatMap(({ addresses, peer }) => addresses.map((address) => memberAddress(address, peer!)));
}

async function restored(): Promise<void> {
  const target = join(scratch, `restored-${restoresCount++}`);
  const { failed } = await burnt.agentCommand<{ failed: unknown[] }>(["restore", "latest", "--to", target]);
  assert.deepEqual(failed, []);
  assert.deepEqual(treeDifferences(content, join(target, content)), []);
}

test("what was backed up is held elsewhere before the fire", async () => {
  await burnt.backUp([content]);
  await untilSafe(burnt, 1);
  siteId = (await statusOf(burnt)).site;
  await burnt.stop();
  primes = await ownOf(burnt);
  assert.ok(primes.size > 20);
  await rename(burnt.data, `${burnt.data}.old`);
});

test("without another site that is reached nothing is made", async () => {
  await assert.rejects(burnt.recover(kit), refusedWith("bad-usage"), "this kit names nobody");
  const [address] = await addressesOf("Aldein");
  await assert.rejects(
    burnt.recover(kit, [address!.replace(/tcp\/\d+/, `tcp/${await freePort()}`)]),
    refusedWith("peer-unreachable"),
  );
});

test("ended at any step before the site is there, the same command goes on, and no other site is made instead", async () => {
  const members = await addressesOf("Brixen");
  for (const step of ["known", "records-here", "identity-written"]) {
    await assert.rejects(burnt.recover(kit, members, { COSTOR_FAILPOINT: `recover.${step}` }));
    await assert.rejects(burnt.start(), refusedWith("identity-damaged"), step);
  }
  await assert.rejects(burnt.recover(kit, members, { COSTOR_FAILPOINT: "recover.identity-placed" }));
  await assert.rejects(burnt.recover(kit, members), refusedWith("site-exists"));
  await burnt.start({ COSTOR_FAILPOINT: "recover.settled" }).catch(() => undefined);
  await until("it ended when all was known", async () => !(await isUp(burnt)));
  await burnt.stop();
});

test("an agent restores everything before it is back, and without being enrolled again", async () => {
  await burnt.start();
  await restored();
});

test("ended while it comes back, it goes on, and in the end it has every byte and signs again", async () => {
  await burnt.kill();
  await burnt.start();
  await until("it is back", async () => {
    const { snapshots, alarms } = await statusOf(burnt);
    return snapshots.storedCount === 1 && snapshots.safeCount === 1 && alarms.length === 0;
  });
  await burnt.stop();
  assert.deepEqual(await ownOf(burnt), primes);
  await burnt.start();
});

test("the next backup sends nothing that the site has, and is safe soon", async () => {
  const report = await burnt.agentCommand<{ sentPrimesCount: number }>(["backup", content]);
  assert.ok(report.sentPrimesCount <= 2, JSON.stringify(report));
  await untilSafe(burnt, 2);
  await restored();
});

test("the machine before the fire is told when it runs again: it takes no backups, and gives what it has", async () => {
  await burnt.stop();
  await rename(burnt.data, `${burnt.data}.new`);
  await rename(`${burnt.data}.old`, burnt.data);
  await burnt.start();
  await until("it is told", async () => (await statusOf(burnt)).alarms.some(({ code }) => code === "superseded"));
  await assert.rejects(burnt.agentCommand(["backup", content]), refusedWith("site-superseded"));
  await restored();
});

test("adopted with the kit it is the site again, with what the other machine has told, and that one is told", async () => {
  await burnt.stop();
  await burnt.command(["site", "adopt", "--kit", kit]);
  await burnt.start();
  await until("it has both snapshots", async () => (await statusOf(burnt)).snapshots.storedCount === 2);
  await burnt.agentCommand(["backup", content]);
  await untilSafe(burnt, 3);
  await restored();
  await burnt.stop();
  await rename(burnt.data, `${burnt.data}.adopted`);
  await rename(`${burnt.data}.new`, burnt.data);
  await burnt.start();
  await until("it is told", async () => (await statusOf(burnt)).alarms.some(({ code }) => code === "superseded"));
});

const isUp = (site: DemoSite): Promise<boolean> =>
  site.call("stats", {}).then(
    () => true,
    () => false,
  );

test.run();
