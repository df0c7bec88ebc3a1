/**
 * Goal: no key, no token, no word of a kit and no plaintext shows in a log, a temporary file, the list of processes, a capture of the network, or at a site that
 * is not its owner's. Method: three sites as processes, everything between them and their agents through proxies that record; a tree with a
 * thousand markers is backed up, copied, drilled, restored elsewhere with the kit, and its site recovered; then all that is left is searched for the
 * markers and for all secrets, in every form (test/support/secret-search.ts). Each place has to hold what it may hold: so the search does find.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { memberAddress } from "#node/cli/kit-federation.ts";
import { readSecrets, siteDirectoryOf } from "#node/site/identity.ts";
import { loadAgentConfig } from "#agent/config/config-file.ts";
import { deriveReadKey, deriveRecoveryKey, deriveSiteScopeSecret } from "#protocol/keys.ts";
import { parseEnrolToken } from "#protocol/enrol-token.ts";
import { parseKit } from "#protocol/kit.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { costor } from "#test/agent/cli/costor-process.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { readPage } from "#test/support/printed-text.ts";
import { type RecordingProxy, startRecordingProxy } from "#test/support/recording-proxy.ts";
import { removeTrees, scratchDirectory } from "#test/support/scratch.ts";
import { type Found, SecretSearch, randomMarker } from "#test/support/secret-search.ts";
import { suite } from "#test/support/suite.ts";
import { federate, until } from "./federated-sites.ts";
import { type PlantedTree, plantTree } from "./planted-markers.ts";
import { ProcessList } from "./process-list.ts";

const test = suite("what leaks", { timeoutMs: 900_000 });
const LEAST_MARKERS_COUNT = 1000;

let directory: string;
let temporary: string;
let capture: string;
let sites: DemoSite[];
let owner: DemoSite;
let helper: DemoSite;
let kit: string;
let config: string;
let planted: PlantedTree;
let processes: ProcessList;
const proxies: RecordingProxy[] = [];
const doors = new Map<DemoSite, RecordingProxy>();
const log: string[] = [];
const secrets = new Map<string, Uint8Array>();
const end = new AbortController();
const place = (...names: string[]): string => join(directory, ...names);

async function succeeds(words: readonly string[], input?: string): Promise<string> {
  const ended = await costor(words, input === undefined ? {} : { input });
  log.push(ended.stderr, ended.stdout);
  assert.equal(ended.code, 0, ended.stderr + ended.stdout.slice(0, 4000));
  return ended.stdout;
}

/** With what the site says to whoever asks too much. */
const siteOf = (name: string): DemoSite =>
  new DemoSite({
    ...{ name, directory: place(name), signal: end.signal, onLog: (line) => void log.push(line) },
    parameters: ["--log-level", "trace"],
  });

test.before(async () => {
  directory = await scratchDirectory("canary");
  [temporary, capture] = [place("temporary"), place("capture")];
  for (const path of [temporary, capture, place("machine")]) mkdirSync(path);
  process.env["TMPDIR"] = temporary;
  processes = new ProcessList();
  planted = plantTree(place("machine"));
  for (const [name, marker] of planted.markers) secrets.set(name, marker);
  sites = ["hill", "lake", "moor"].map(siteOf);
  [owner, helper] = sites as [DemoSite, DemoSite];
  kit = place("kit.txt");
});
test.after(async () => {
  processes[Symbol.dispose]();
  await Promise.all(sites.map((site) => site.stop()));
  for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
});

const door = async (name: string, to: () => number): Promise<RecordingProxy> => {
  const proxy = await startRecordingProxy(name, { directory: capture, to });
  proxies.push(proxy);
  return proxy;
};

async function noteSiteSecrets(what: string, data: string): Promise<void> {
  const { readPrivateKey, peerSeed, caKey } = await readSecrets(siteDirectoryOf(data));
  for (const [name, key] of Object.entries({ readPrivateKey, peerSeed, caKey })) secrets.set(`${what}: ${name}`, key);
}

/** In groups of three, and as the lines of a file have them, in columns. */
function noteWords(what: string, words: readonly string[], file?: string): void {
  for (let at = 0; at + 3 <= words.length; at++)
    for (const between of [" ", ",", "\n", '","'])
      secrets.set(
        `${what}: words from ${at} ${JSON.stringify(between)}`,
        Buffer.from(words.slice(at, at + 3).join(between)),
      );
  for (const line of file === undefined ? [] : readFileSync(file, "utf8").split("\n"))
    if (words.filter((word) => line.includes(` ${word}`)).length >= 2)
      secrets.set(`${what}: words ${line.trim()}`, Buffer.from(line.trim()));
}

test("a site is made, its machine backs up, and others keep copies", async () => {
  for (const site of sites) {
    await site.start();
    doors.set(site, await door(`${site.name}-peers`, () => site.peerPort!));
    const announced = `/ip4/127.0.0.1/tcp/${doors.get(site)!.port}`;
    await site.command(["federation", "settings", "--place", site.name, "--announce", announced]);
  }
  await federate(sites);
  cpSync(owner.kit, kit);
  const { kitRoot } = parseKit(readFileSync(kit, "utf8"));
  const words = wordsOfKitRoot(kitRoot);
  secrets.set("kit: root", Uint8Array.from(kitRoot));
  secrets.set("kit: recovery key", deriveRecoveryKey(kitRoot).seed);
  secrets.set("kit: read key", deriveReadKey(kitRoot, 1).privateKey);
  secrets.set("kit: scope secret", deriveSiteScopeSecret(kitRoot));
  noteWords("kit", words, kit);
  const holders = ["--shares", "2-of-2", "--holder", "Anna", "Ben"];
  await owner.command(["site", "kit", "split", "--kit", kit, ...holders, "--out", place("shares")]);
  for (const number of [1, 2]) {
    const file = place("shares", `share-${number}-of-2`);
    const page = readPage(readFileSync(`${file}.html`, "utf8"));
    noteWords(`share ${number}`, page.words.split(" "), `${file}.txt`);
  }
  const person = await owner.call("secondPersonSet", {});
  noteWords("second person", person.words);
  for (const site of sites) await noteSiteSecrets(`site ${site.name}`, site.data);

  const agents = await door("agents", () => owner.agentPort!);
  const name = randomMarker();
  secrets.set("name of the machine", Buffer.from(name));
  // Not typed: what is typed everybody may see.
  const { token } = await owner.call("enrolToken", { name, addresses: [`127.0.0.1:${agents.port}`] });
  secrets.set("token: text", Buffer.from(token));
  secrets.set("token: secret", parseEnrolToken(token).secret);
  config = place("machine", "agent.yaml");
  await succeeds(["agent", "enrol", "-", "--config", config, "--json"], `${token}\n`);
  const settings = await loadAgentConfig(config);
  secrets.set("machine: token", Buffer.from(settings.agent.token));
  secrets.set("machine: scope secret", settings.agent.scopeSecret);
  // Not typed, either.
  const text = readFileSync(config, "utf8");
  assert.match(text, /^roots: .*$/m);
  writeFileSync(config, text.replace(/^roots: .*$/m, `roots: [${planted.root}]`));
  await succeeds(["agent", "backup", "--config", config, "--json"]);
  const { snapshots } = await owner.call("snapshots", {});
  const tags = Array.from({ length: 10 }, randomMarker);
  for (const [at, tag] of tags.entries()) secrets.set(`tag ${at}`, Buffer.from(tag));
  await owner.call("snapshotMark", { snapshots: snapshots.map(({ id }) => id), tags });
  await untilSafe(1);
});

async function untilSafe(count: number): Promise<void> {
  await until("all is held twice elsewhere", async () => {
    await owner.call("federationSend", {});
    const { snapshots } = await owner.call("federationStatus", {});
    return snapshots.storedCount >= count && snapshots.safeCount === snapshots.storedCount;
  });
}

test("drills are done, from here, from elsewhere, and across sites", async () => {
  for (const kind of ["local", "offsite", "across"] as const) {
    const { failedCount } = await owner.call("runDrill", { kind, isWhole: kind === "offsite" });
    assert.equal(failedCount, 0);
  }
});

test("it crashes; another site gives everything back with the kit, and a new machine becomes the site", async () => {
  const data = place("hill", "crashed");
  // No core of it is written, wherever the system would put one: all keys are in there.
  assert.match(readFileSync(`/proc/${owner.pid}/limits`, "utf8"), /^Max core file size +0 +0 /m);
  process.kill(owner.pid!, "SIGABRT");
  await assert.rejects(owner.ended());
  await owner.stop();
  cpSync(owner.data, data, { recursive: true });
  const { members } = await helper.call("federationMembers", {});
  const others = members.filter(({ name }) => name !== owner.name);
  const where = others.flatMap((member) => member.addresses.map((to) => memberAddress(to, member.peer!)));
  const target = place("machine", "elsewhere");
  const words = ["--data", helper.data, "--kit", kit, "--target", target, "--json"];
  await succeeds(["federation", "restore", ...words]);
  assert.deepEqual(treeDifferences(planted.root, join(target, planted.root)), []);
  removeTrees([owner.data]);
  await owner.recover(kit, where);
  await noteSiteSecrets("recovered site", owner.data);
  await until("it is back", async () => {
    const { comesBack, snapshots, alarms } = await owner.call("federationStatus", {});
    // That its backups were read at another site is told, and stays.
    const isWhole = comesBack === undefined && alarms.every(({ code }) => code === "helped");
    return isWhole && snapshots.safeCount === 1;
  });
  const again = place("machine", "again");
  await succeeds(["agent", "restore", "latest", "--config", config, "--to", again, "--json"]);
  assert.deepEqual(treeDifferences(planted.root, join(again, planted.root)), []);
  await Promise.all(sites.map((site) => site.stop()));
});

interface Place {
  readonly what: string;
  readonly files: readonly string[];
  /** Names of secrets that have to be there, or may: everything else must not. */
  readonly mayHold?: RegExp;
  readonly holds?: RegExp;
}

const filesBelow = (...roots: readonly string[]): string[] =>
  roots.flatMap((root) =>
    readdirSync(root, { recursive: true, withFileTypes: true }).flatMap((entry) =>
      entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
    ),
  );

test("what is left in any place holds nothing but what belongs there", () => {
  assert.ok(planted.markers.size >= LEAST_MARKERS_COUNT, `${planted.markers.size} markers`);
  const search = new SecretSearch(secrets);
  // What a site lists for its people is in its own store, and at others under seal: docs/specs/site-files.md.
  const ownSecrets = (name: string): RegExp =>
    new RegExp(
      `^(site ${name}|recovered site|kit: (read key|scope secret)|machine: scope secret|root|name of the machine|tag)`,
    );
  const places: Place[] = [
    { what: "temporary files", files: filesBelow(temporary) },
    { what: "the capture", files: filesBelow(capture) },
    ...sites.map(({ name, data }) => ({
      what: `the data of ${name}`,
      files: filesBelow(data),
      mayHold: name === owner.name ? ownSecrets(name) : new RegExp(`^site ${name}`),
    })),
    {
      what: "the data before",
      files: filesBelow(place("hill", "crashed")),
      mayHold: ownSecrets("hill"),
      holds: /^tag/,
    },
    {
      what: "the machine's configuration",
      files: [config],
      mayHold: /^(machine: |root|kit: scope secret)/,
      holds: /^machine: token/,
    },
    { what: "the kit", files: [kit], mayHold: /^kit: /, holds: /^kit: words/ },
    { what: "the shares", files: filesBelow(place("shares")), mayHold: /^share /, holds: /^share 2: words/ },
    { what: "restored files", files: filesBelow(place("machine", "again")), mayHold: /^content/, holds: /^content/ },
  ];
  const leaks: string[] = [];
  const look = (what: string, found: readonly Found[], mayHold?: RegExp): void => {
    for (const { name, form } of found) if (mayHold?.test(name) !== true) leaks.push(`${what}: ${name}, ${form}`);
  };
  for (const { what, files, mayHold, holds } of places) {
    let hasHeld = holds === undefined;
    for (const file of files) {
      const found = search.search(readFileSync(file));
      look(`${what}, ${file.slice(directory.length)}`, found, mayHold);
      look(
        `${what}, the name of a file`,
        search.search(Buffer.from(file.slice(directory.length))),
        what === "restored files" ? /./ : undefined,
      );
      hasHeld ||= found.some(({ name }) => holds!.test(name));
    }
    assert.ok(files.length > 0 || what === "temporary files", `${what}: nothing was looked at`);
    assert.ok(hasHeld, `${what}: the search finds not even what is there`);
  }
  const said = Buffer.from(log.join("\n"));
  assert.ok(said.length > 10_000 && said.includes("a remote restore has begun"), "the sites told much");
  look("the logs", search.search(said));
  const listed = processes.text;
  assert.ok(listed.includes("enrol") && listed.includes("recover"), "the processes were seen");
  look("the list of processes", search.search(listed));
  process.stdout.write(` (${secrets.size} secrets in ${Math.round(search.searchedBytes / 1e6)} MB) `);
  assert.deepEqual([...new Set(leaks)].slice(0, 50), []);
});

test.run();
