/**
 * Goal: of a site that burnt down, files come back at another one with the kit, byte for byte and with their attributes, while one of two
 * holders is dead as well; and nothing of the kit, or of what the files are called, is left at the helping site. Method: four sites as
 * processes, one wiped, one killed; the launcher; then a search of the helper's disk and log for markers.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { deriveReadKey, deriveRecoveryKey, deriveSiteScopeSecret } from "#protocol/keys.ts";
import { parseKit } from "#protocol/kit.ts";
import { costor, startCostor } from "#test/agent/cli/costor-process.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { documentedCommands } from "#test/support/documented-commands.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { noise } from "#test/support/noise.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { federate, untilSafe } from "./federated-sites.ts";

const test = suite("remote restore", { timeoutMs: 600_000 });
const MIB = 1024 ** 2;
const MARKER = "zebra-marker";

let directory: string;
let source: string;
let kit: string;
let owner: DemoSite;
let helper: DemoSite;
let others: DemoSite[];
const log: string[] = [];
const end = new AbortController();

test.before(async () => {
  directory = await scratchDirectory("remote-restore");
  source = join(directory, "source");
  mkdirSync(source);
  makeTree(source, { deepLevelsCount: 40, wideEntriesCount: 300, sparseBytes: 16 * MIB });
  for (let i = 0; i < 3; i++) writeFileSync(join(source, `${MARKER}-${i}.bin`), noise(`file ${i}`, 10 * MIB));
  mkdirSync(join(source, `${MARKER}-directory`));
  writeFileSync(
    join(source, `${MARKER}-directory`, "page.txt"),
    "some words that nobody else may read: zebra-plaintext\n".repeat(50),
  );
  const siteOf = (name: string, onLog: (line: string) => void = () => undefined): DemoSite =>
    new DemoSite({
      ...{ name, directory: join(directory, name), signal: end.signal, onLog },
      parameters: ["--log-level", "debug"],
    });
  owner = siteOf("hill");
  helper = siteOf("lake", (line) => void log.push(line));
  others = [siteOf("moor"), siteOf("wood")];
  await federate([owner, helper, ...others]);
  await owner.enrolAgent();
  await owner.backUp([source]);
  await untilSafe(owner);
  // One more that is not copied any more.
  const late = join(directory, "late");
  mkdirSync(late);
  writeFileSync(join(late, "page.txt"), noise("late", MIB));
  assert.equal((await costor(["federation", "pause", "--data", owner.data])).code, 0);
  await owner.backUp([late]);
  kit = join(directory, "kit.txt");
  cpSync(join(directory, "hill", "kit.txt"), kit);
  await untilTold(2);
  await owner.kill();
  owner.wipe();
});
test.after(async () => {
  await Promise.all([helper, ...others].map((site) => site.stop()));
});

const restore = (...words: string[]) =>
  costor(["federation", "restore", "--data", helper.data, "--kit", kit, ...words]);

/** The helper's ledger tells of so many snapshots. */
async function untilTold(count: number): Promise<void> {
  for (let tries = 0; tries < 120; tries++) {
    const listed = await restore("--agent", "office", "--json");
    if (listed.code === 0 && listed.json().length === count) return;
    await sleep(500);
  }
  assert.fail("the helper never heard of all snapshots");
}

test("the newest snapshot, of which nobody else had all, is told of, and the one before is taken for the latest", async () => {
  const [whole, late] = (await restore("--agent", "office", "--json")).json() as { id: string }[];
  assert.match(
    (await restore("--agent", "office")).stderr,
    new RegExp(`note: snapshot ${late!.id} was not all elsewhere`),
  );
  const listed = await restore("--snapshot", "latest", "--path", source);
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stderr, new RegExp(`note: the newest snapshot.*--snapshot ${late!.id}`));
  const asked = await restore("--snapshot", whole!.id, "--path", source);
  assert.deepEqual([asked.stdout, asked.stderr], [listed.stdout, ""]);
  const lost = await restore("--snapshot", late!.id, "--target", join(directory, "parts"));
  assert.equal(lost.code, 3, lost.stderr);
});

test("machines, snapshots and directories of the lost site are shown", async () => {
  const [machine] = (await restore("--json")).json();
  assert.equal(machine.name, "office");
  const [snapshot] = (await restore("--agent", "office", "--json")).json();
  assert.deepEqual(snapshot.roots, [source]);
  const listed = (await restore("--snapshot", "latest", "--path", source, "--json")).json() as { path: string }[];
  assert.ok(listed.some(({ path }) => path.endsWith(`${MARKER}-1.bin`)));
});

test("with one of two holders dead as well, everything comes back as it was, by the commands of the page", async () => {
  await others[0]!.kill();
  const target = join(directory, "restored");
  const path = join(source, `${MARKER}-2.bin`);
  const zip = join(directory, "one.zip");
  const [show, whole, part] = await documentedCommands(
    "docs/restore-elsewhere.md",
    "At another site of the federation",
    {
      ...{ "/var/lib/costor": helper.data, "kit.txt": kit, NAME: "office" },
      ...{ "/media/stick/restored": target, "/home/anna": path, "anna.zip": zip },
    },
  );
  assert.match((await costor(show!)).stdout, /office/);
  const ended = await costor([...whole!, "--json"]);
  assert.equal(ended.code, 0, ended.stderr + ended.stdout.slice(0, 2000) + log.slice(-8).join("\n"));
  assert.equal(ended.json().failedCount, 0);
  assert.deepEqual(treeDifferences(source, join(target, source)), []);
  assert.equal((await costor(part!)).code, 0);
  const content = spawnSync("unzip", ["-p", zip], { maxBuffer: 64 * MIB }).stdout;
  assert.ok(content.equals(readFileSync(path)));
});

test("the first bytes of a large file come soon", async () => {
  const path = join(source, `${MARKER}-1.bin`);
  const words = ["federation", "restore", "--data", helper.data, "--kit", kit, "--path", path, "--tar", "-"];
  const startedMs = performance.now();
  const started = startCostor(words);
  await new Promise((resolve) => started.child.stdout!.once("data", resolve));
  process.stdout.write(` (first bytes after ${Math.round(performance.now() - startedMs)} ms) `);
  assert.equal((await started.ended).code, 0);
});

test("nothing of the kit, of names or of content is on the helper's disk or in its log", async () => {
  const { kitRoot } = parseKit(readFileSync(kit, "utf8"));
  const secrets = [
    kitRoot,
    deriveRecoveryKey(kitRoot).seed,
    deriveReadKey(kitRoot, 1).privateKey,
    deriveSiteScopeSecret(kitRoot),
    Buffer.from(MARKER),
    Buffer.from("zebra-plaintext"),
  ];
  const forms = secrets.flatMap((secret) => [
    Buffer.from(secret),
    Buffer.from(Buffer.from(secret).toString("hex")),
    Buffer.from(Buffer.from(secret).toString("base64").replace(/=+$/, "")),
  ]);
  const places: (readonly [string, Buffer])[] = [["the log", Buffer.from(log.join("\n"))]];
  for (const entry of readdirSync(helper.data, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) places.push([entry.name, readFileSync(join(entry.parentPath, entry.name))]);
  assert.ok(places.length > 5);
  for (const [name, bytes] of places)
    for (const form of forms) assert.ok(!bytes.includes(form), `${name} holds ${form.toString("latin1")}`);
  assert.ok(log.some((line) => line.includes("a remote restore has begun")));
  assert.ok(log.some((line) => line.includes("a remote restore has ended")));
});

test("a copy of the helper's disk gives what the helper keeps, with nothing running", async () => {
  const copy = join(directory, "helper-copy");
  cpSync(join(helper.data, "store/segments"), join(copy, "store/segments"), { recursive: true });
  const extract = (...words: string[]) => costor(["site", "extract", "--data", copy, "--kit", kit, "--json", ...words]);
  assert.equal((await extract()).json()[0].name, "office");
  const target = join(directory, "from-helper");
  const ended = await extract("--target", target);
  // What lies with the two others only is named.
  assert.ok(ended.code === 0 || ended.code === 3, ended.stderr);
  const failed = new Set((ended.json().failed as { path: string }[]).map(({ path }) => path));
  for (let i = 0; i < 3; i++) {
    const path = join(source, `${MARKER}-${i}.bin`);
    if (!failed.has(path) && existsSync(join(target, path)))
      assert.ok(readFileSync(join(target, path)).equals(readFileSync(path)));
  }
});

test("another site's kit is told to be unknown here, and without a running site nothing is tried", async () => {
  const stranger = new DemoSite({ name: "far", directory: join(directory, "far"), signal: end.signal });
  await stranger.start();
  await stranger.stop();
  const words = ["federation", "restore", "--kit", join(directory, "far", "kit.txt"), "--json"];
  assert.match((await costor([...words, "--data", helper.data])).stderr, /"member-unknown"/);
  assert.match((await costor([...words, "--data", stranger.data])).stderr, /"site-unreachable"/);
});

test.run();
