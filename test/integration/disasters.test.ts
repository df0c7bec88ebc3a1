/**
 * Goal: docs/disasters.md keeps its word, for somebody who types what is there. Method: a federation of four sites as processes; the cases of
 * the page follow each other with the page's own commands, in whose place only paths, names and what was shown before are put; what is
 * restored is compared with what was backed up. A command of the page that no case plays is a failure. Half of the cases, each of
 * which brings sites down and back, are for the full level alone.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import { readIdentity, readSecrets, siteDirectoryOf } from "#node/site/identity.ts";
import { provideLeaf } from "#node/site/leaf.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type Ended, costor } from "#test/agent/cli/costor-process.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { type TestLevel, level } from "#test/support/level.ts";
import { noise } from "#test/support/noise.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { federate, until } from "./federated-sites.ts";
import { confirmKit, playLostKit } from "./lost-kit-case.ts";
import { PlayedCase, documentedHeadings, endServed } from "./played-case.ts";

const test = suite("disasters", { timeoutMs: 400_000 });
const PAGE = "docs/disasters.md";
const DAY_MS = 24 * 3600_000;
const end = new AbortController();
let scratch = "";
let content = "";
let machine = "";
let hill: DemoSite;
let lake: DemoSite;
let moor: DemoSite;
let wood: DemoSite;
/** In the order of the page. */
const headings: string[] = [];
let casesCount = 0;
/** The kit that counts. */
let kit = "";

test.before(async () => {
  scratch = await scratchDirectory("disasters");
  content = join(scratch, "home");
  machine = join(scratch, "hill", "agent");
  kit = join(scratch, "kit-1.txt");
  mkdirSync(join(content, "anna"), { recursive: true });
  writeFileSync(join(content, "anna", "report.odt"), "what was the first version\n".repeat(200));
  for (let file = 0; file < 60; file++)
    writeFileSync(join(content, "anna", `${file}.txt`), `some words of text number ${file}, and more\n`.repeat(300));
  writeFileSync(join(content, "film.bin"), noise("film", 3_000_000));
  const sites = ["hill", "lake", "moor", "wood"].map(
    (name) => new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined }),
  ) as [DemoSite, DemoSite, DemoSite, DemoSite];
  [hill, lake, moor, wood] = sites;
  await federate(sites);
  await hill.enrolAgent();
  cpSync(join(scratch, "hill", "kit.txt"), kit);
  await hill.backUp([content]);
});
test.after(async () => {
  endServed();
  await Promise.all([hill, lake, moor, wood].map((site) => site.stop()));
});

/** Words of the page, and what stands for them here. */
const stand = (): Record<string, string> => ({
  "/srv/costor": hill.data,
  "/var/lib/costor": lake.data,
  "/etc/costor/agent.yaml": join(machine, "agent.yaml"),
  "/home": content,
  "/home/anna/report.odt": join(content, "anna", "report.odt"),
  "/srv/restored": join(scratch, `restored-${casesCount}`),
  "/media/stick/restored": join(scratch, "stick"),
  "kit.txt": kit,
  "old-kit.txt": kit,
  "new-kit.txt": join(scratch, `new-kit-${casesCount}.txt`),
  "kit.html": join(scratch, `kit-${casesCount}.html`),
  NORTH: "moor",
  SOUTH: "wood",
});

function play(
  heading: string,
  story: (on: { page: PlayedCase; restored: string }) => Promise<void>,
  from: TestLevel = "quick",
): void {
  headings.push(heading);
  if (from === "full" && level !== "full") return;
  test(heading, async () => {
    casesCount++;
    const words = stand();
    const page = await PlayedCase.open(PAGE, heading, words);
    await story({ page, restored: join(words["/srv/restored"]!, content) });
    page.end();
  });
}

/** What status says of a restore at another site, until there is a new kit. */
const WAS_READ = "were read by its recovery kit";
const isSafe = (text: string): boolean =>
  text.includes("all safe") &&
  text.split("\n").every((line) => !line.startsWith("ATTENTION") || line.includes(WAS_READ));
const sameAsContent = (restored: string): void => assert.deepEqual(treeDifferences(content, restored), []);
const idsOf = (text: string): string[] => text.match(/\b[0-9a-f]{8}-[0-9a-f]{4}[0-9a-f-]*/g) ?? [];
const tokenOf = ({ stdout }: Ended): string => stdout.trim().split("\n")[0]!;

play("A file is lost", async ({ page, restored }) => {
  const lost = join(content, "anna", "report.odt");
  const first = readFileSync(lost);
  rmSync(lost);
  await hill.backUp([content]);
  assert.match((await page.run("agent find")).stdout, /report\.odt/);
  const [snapshot] = idsOf((await page.run("agent versions")).stdout);
  await page.run("agent restore", { SNAPSHOT: snapshot! });
  const file = join(restored, "anna", "report.odt");
  assert.ok(readFileSync(file).equals(first));
  cpSync(file, lost, { preserveTimestamps: true });
  await hill.backUp([content]);
});

play("A machine's disk is dead", async ({ page, restored }) => {
  rmSync(machine, { recursive: true });
  mkdirSync(machine);
  assert.match((await page.run("site agents list")).stdout, /office.*active/);
  const token = tokenOf(await page.run("site enrol-token"));
  await page.run("agent enrol", { TOKEN: token });
  await page.run("agent restore");
  sameAsContent(restored);
  await page.run("agent backup");
});

play("Ransomware", async ({ page, restored }) => {
  renameSync(content, `${content}.good`);
  mkdirSync(join(content, "anna"), { recursive: true });
  for (let file = 0; file < 60; file++)
    writeFileSync(join(content, "anna", `${file}.txt.locked`), noise(`locked ${file}`, 15_000));
  await hill.backUp([content]);
  rmSync(content, { recursive: true });
  renameSync(`${content}.good`, content);
  await until("the alarm is raised", async () => (await hill.call("alarms", {})).alarms.length > 0);
  const [alarm] = (await hill.call("alarms", {})).alarms;
  const listed = idsOf((await page.run("site alarms list")).stdout);
  const [bad, good] = listed.slice(-2);
  assert.deepEqual([bad, good], [alarm!.snapshot, alarm!.before]);
  assert.ok(idsOf((await page.run("site snapshots")).stdout).includes(good!));
  rmSync(machine, { recursive: true });
  mkdirSync(machine);
  const token = tokenOf(await page.run("site enrol-token"));
  await page.run("agent enrol", { TOKEN: token });
  await page.run("agent restore", { GOOD: good! });
  sameAsContent(restored);
  await page.run("site alarms settle", { BAD: bad! });
  assert.notEqual((await hill.call("alarms", {})).alarms[0]!.settledMs, undefined);
  await hill.backUp([content]);
});

play("The server is burnt", async ({ page, restored }) => {
  await untilSafe();
  await hill.kill();
  rmSync(hill.data, { recursive: true });
  await page.run("federation restore");
  sameAsContent(join(scratch, "stick", content));
  const member = addressIn((await page.run("federation members")).stdout);
  const stop = await page.serve("site recover", hill, { ADDRESS: member });
  await page.runUntil("federation status", isSafe);
  assert.ok(idsOf((await page.run("agent snapshots")).stdout).length > 0);
  await page.run("agent restore");
  sameAsContent(restored);
  await stop();
  await hill.start();
});

play(
  "The server is stolen",
  async ({ page }) => {
    await untilSafe();
    await hill.kill();
    renameSync(hill.data, `${hill.data}.stolen`);
    const member = addressIn((await costor(["federation", "members", "--addresses", "--data", lake.data])).stdout);
    const stop = await page.serve("site recover", hill, { ADDRESS: member });
    await page.runUntil("federation status", isSafe, hill);
    const [agent] = idsOf((await page.run("site agents list")).stdout).slice(-1);
    assert.ok(agent);
    const thief = join(scratch, "what-the-thief-knows.yaml");
    renameSync(join(machine, "agent.yaml"), thief);
    const token = tokenOf(await page.run("site enrol-token"));
    await page.run("agent enrol", { TOKEN: token });
    assert.match((await costor(["agent", "snapshots", "--config", thief, "--json"])).stderr, /"site-identity-changed"/);
    await stop();
    await hill.start();
    await untilSafe();
    assert.deepEqual((await hill.call("federationStatus", {})).alarms, []);
  },
  "full",
);

play(
  "A page of the kit is lost",
  async ({ page }) => {
    await page.run("site kit rehearse");
    await hill.stop();
    await page.run("site kit replace");
    const newKit = stand()["new-kit.txt"]!;
    const stop = await page.serve("site start", hill);
    await page.run("site kit page");
    await confirmKit(page, hill, newKit);
    kit = newKit;
    await stop();
    await hill.start();
  },
  "full",
);

const ofLostKit = (newKit: string) => ({ asker: hill, others: [lake, moor, wood] as const, newKit, isSafe });
play(
  "Nobody has the kit any more",
  async ({ page }) => void (kit = await playLostKit(page, ofLostKit(stand()["new-kit.txt"]!))),
  "full",
);

play(
  "Two sites are down",
  async ({ page }) => {
    await untilSafe();
    await Promise.all([moor.kill(), wood.kill()]);
    await hill.backUp([content]);
    assert.match((await page.run("federation status")).stdout, /Not safe yet/);
    assert.match((await page.run("federation what-if")).stdout, /moor[^]*wood/);
    await hill.agentCommand(["restore", "latest", "--to", join(scratch, "two-down")]);
    sameAsContent(join(scratch, "two-down", content));
    await Promise.all([moor.start(), wood.start()]);
    await page.run("federation send");
    await untilSafe();
  },
  "full",
);

play(
  "A site was expelled",
  async ({ page }) => {
    for (const site of [lake, moor, wood]) await site.command(["federation", "expel", "hill"]);
    await until("it is told", async () => (await hill.call("federationStatus", {})).role === "expelled");
    assert.match((await page.run("federation members")).stdout, /hill.*expelled/);
    await page.run("federation status");
    assert.match((await page.run("federation status")).stdout, /expelled/);
    await hill.backUp([content]);
    await page.run("federation admit", { NORTH: "hill" });
    await moor.command(["federation", "admit", "hill"]);
    await page.run("site drills run");
    await until("it is a member again", async () => (await hill.call("federationStatus", {})).role === "member");
    await untilSafe();
  },
  "full",
);

play("The disk is full", async ({ page }) => {
  assert.match((await page.run("site stats")).stdout, /Free: .* kept in reserve/);
  assert.match((await page.run("federation status")).stdout, /Kept for/);
  await page.run("federation settings");
  await page.run("site retention preview");
  assert.match((await page.run("site retention set")).stdout, /retention undo/);
  await page.run("site snapshots");
  const { snapshots } = await hill.call("snapshots", {});
  const { id } = snapshots.find(({ reasons }) => reasons.every(({ rule }) => rule !== "pinned"))!;
  const isGoing = async () =>
    (await hill.call("snapshots", {})).snapshots.find((snapshot) => snapshot.id === id)?.goesMs !== undefined;
  await page.run("site snapshot remove", { SNAPSHOT: id });
  assert.equal(await isGoing(), true);
  await page.run("site snapshot restore", { SNAPSHOT: id });
  assert.equal(await isGoing(), false);
  await page.run("site gc");
});

play(
  "A certificate has expired",
  async ({ page }) => {
    await hill.stop();
    const siteDirectory = siteDirectoryOf(hill.data);
    const keys = {
      siteDirectory,
      identity: await readIdentity(siteDirectory),
      secrets: await readSecrets(siteDirectory),
    };
    rmSync(join(siteDirectory, "leaf"));
    const { cert } = await provideLeaf(keys, ["127.0.0.1"], Date.now() - 700 * DAY_MS);
    assert.ok(new X509Certificate(cert).validToDate.getTime() < Date.now());
    const stop = await page.serve("site start", hill);
    assert.ok(idsOf((await page.run("agent snapshots")).stdout).length > 0);
    await stop();
    await hill.start();
  },
  "full",
);

play("A clock is wrong", async ({ page }) => {
  await hill.stop();
  const store = await hill.openStore();
  const wallMs = Date.now() + 10 * DAY_MS;
  const value = encodeCbor({ heldMs: 100 * DAY_MS, wallMs, isSuspect: false });
  await store.appendFacts([{ kind: "clock", key: "held", value }]);
  await store[Symbol.asyncDispose]();
  await hill.start();
  await hill.backUp([content]);
  assert.match((await page.run("site retention show")).stdout, /clock has jumped/);
  await until("it is told", async () =>
    (await hill.call("federationStatus", {})).alarms.some(({ text }) => text.includes("clock")),
  );
  assert.doesNotMatch((await page.run("site retention confirm-clock")).stdout, /clock has jumped/);
  await page.runUntil("federation status", isSafe, hill);
});

test("each section of the page that has commands is a case here, and no command stands where none is looked for", async () => {
  assert.deepEqual(await documentedHeadings(PAGE), headings);
});

async function untilSafe(): Promise<void> {
  let said = "";
  await until("all is safe", async () => {
    await hill.call("federationSend", {});
    const { snapshots, alarms } = await hill.call("federationStatus", {});
    said = JSON.stringify({ snapshots, alarms });
    if (
      snapshots.storedCount > 0 &&
      snapshots.safeCount === snapshots.storedCount &&
      alarms.every(({ text }) => text.includes(WAS_READ))
    )
      return true;
    throw new Error(said);
  });
}

function addressIn(members: string): string {
  const line = members.split("\n").find((row) => row.includes("lake"));
  const address = line?.split(/\s+/).find((word) => word.startsWith("/"));
  assert.ok(address, members);
  return address;
}

test.run();
