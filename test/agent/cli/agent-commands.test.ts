/**
 * Goal: the agent's commands do what they say, in text and JSON, with the documented exit codes.
 * Method: the launcher against a site in a process of its own, with real files.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { limits } from "#protocol/limits.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { costor, type Ended, type RestartableSite, startCostor, startRestartableSite } from "./costor-process.ts";

const test = suite("agent commands", { timeoutMs: 120_000 });

let site: RestartableSite;
let directory: string;
let config: string;
let source: string;
const agent = (...words: string[]): Promise<Ended> => costor(["agent", ...words, "--config", config]);

async function succeeds(ended: Promise<Ended>): Promise<Ended> {
  const result = await ended;
  assert.equal(result.code, 0, result.stderr);
  return result;
}
const snapshotIds = async (): Promise<string[]> =>
  (await succeeds(agent("snapshots", "--json"))).json<{ id: string }[]>().map(({ id }) => id);

test.before(async () => {
  site = await startRestartableSite();
  directory = await scratchDirectory("agent-commands");
  config = join(directory, "agent.yaml");
  source = join(directory, "source");
  await mkdir(join(source, "letters"), { recursive: true });
  await writeFile(join(source, "letters", "head.txt"), "Dear parents");
  await writeFile(join(source, "marks.csv"), "1,2,3");
  await succeeds(costor(["agent", "enrol", await site.enrolToken("office"), "--config", config, "--root", source]));
});
test.after(() => site.stop());

test("enrolment writes a secret file that is used at once, and never replaces one", async () => {
  assert.equal((await stat(config)).mode & 0o777, 0o600);
  const text = await readFile(config, "utf8");
  assert.ok(text.includes(source) && text.includes(site.address));
  const token = await site.enrolToken("second");
  const refused = await costor(["agent", "enrol", token, "--config", config]);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /bad-config.*exists already/);
  const other = join(directory, "other.yaml");
  await succeeds(costor(["agent", "enrol", token, "--config", other, "--json"]));
  const again = await costor(["agent", "enrol", token, "--config", join(directory, "third.yaml")]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /enrolment-refused/);
  await assert.rejects(stat(join(directory, "third.yaml")));
});

test("a token comes by standard input where no list of processes may show it", async () => {
  const given = join(directory, "given.yaml");
  const words = ["agent", "enrol", "-", "--config", given, "--json"];
  await succeeds(costor(words, { input: `\n${await site.enrolToken("given")}\n` }));
  assert.ok((await readFile(given, "utf8")).includes(site.address));
  const long = await costor(words, { input: "a".repeat(limits.invitationCharacters + 1) });
  assert.match(long.stderr, /bad-usage/);
});

test("a token with a slip in it is refused before anybody is contacted", async () => {
  const token = await site.enrolToken("slip");
  const refused = await costor([
    "agent",
    "enrol",
    `${token.slice(0, -5)}aaaaa`,
    "--config",
    join(directory, "slip.yaml"),
    "--json",
  ]);
  assert.equal(refused.code, 2);
  assert.equal((JSON.parse(refused.stderr) as { error: { code: string } }).error.code, "bad-token");
});

test("a backup of the configuration's roots, a second one and a dry run say what they did", async () => {
  // What is younger than a tick of the coarsest file system's clock is read once more, to be sure.
  const { ctimeMs } = await stat(join(source, "letters", "head.txt"));
  await sleep(Math.max(0, ctimeMs + 2_100 - Date.now()));
  const first = (await succeeds(agent("backup", "--json"))).json();
  assert.deepEqual([first.filesCount, first.readFilesCount, first.isPartial], [2, 2, false]);
  const dry = (await succeeds(agent("backup", "--dry-run", "--json"))).json();
  assert.deepEqual([dry.filesCount, dry.readFilesCount, dry.snapshotId], [2, 0, undefined]);
  await writeFile(join(source, "marks.csv"), "1,2,3,4");
  await rm(join(source, "letters", "head.txt"));
  await writeFile(join(source, "letters", "new.txt"), "x");
  const second = await succeeds(agent("backup"));
  assert.match(second.stdout, /^Snapshot [0-9a-f-]{36}: 2 files, 8 B; 2 new or changed \(8 B\); .* sent, in /);
  const listed = (await succeeds(agent("snapshots", "--json"))).json();
  assert.equal(listed.length, 2);
  assert.deepEqual(listed[0].roots, [source]);
  assert.equal(listed[0].id, first.snapshotId);
  assert.ok(listed[0].received <= listed[1].received);
});

test("ls, diff, find and versions answer from the snapshots", async () => {
  const [first] = await snapshotIds();
  const listed = (await succeeds(agent("ls", "latest", source, "--json"))).json();
  assert.deepEqual(
    listed.map((entry: { path: string; type: string }) => [entry.path, entry.type]),
    [
      [join(source, "letters"), "directory"],
      [join(source, "marks.csv"), "file"],
    ],
  );
  const recursive = await succeeds(agent("ls", first!.slice(0, 13), "/", "--recursive"));
  assert.match(recursive.stdout, /letters\/head\.txt/);
  const changes = (await succeeds(agent("diff", first!, "latest", "--json"))).json();
  assert.deepEqual(
    changes
      .filter((change: { kind: string }) => change.kind !== "metadata")
      .map((change: { kind: string; path: string }) => [change.kind, change.path.slice(source.length)]),
    [
      ["removed", "/letters/head.txt"],
      ["added", "/letters/new.txt"],
      ["changed", "/marks.csv"],
    ],
  );
  const found = (await succeeds(agent("find", "*.txt", "--json"))).json();
  assert.deepEqual(
    found.map((one: { path: string; snapshots: { count: number }[] }) => [
      one.path.slice(source.length),
      one.snapshots[0]!.count,
    ]),
    [
      ["/letters/head.txt", 1],
      ["/letters/new.txt", 1],
    ],
  );
  const versions = (await succeeds(agent("versions", join(source, "marks.csv"), "--json"))).json();
  assert.deepEqual(
    versions.map((version: { sizeBytes: number }) => version.sizeBytes),
    [5, 7],
  );
  // Paths are seen from the current directory.
  assert.match(
    (await succeeds(costor(["agent", "versions", "marks.csv", "--config", config], { cwd: source }))).stdout,
    /7 B/,
  );
});

test("names that are not UTF-8 or hold escapes are exact in JSON, harmless on a terminal, and can be named", async () => {
  const name = Buffer.concat([Buffer.from(`${source}/odd-`), Buffer.from([0xff, 0x1b]), Buffer.from("[31m\n.txt")]);
  await writeFile(name, "odd");
  await succeeds(agent("backup"));
  const text = (await succeeds(agent("ls", "latest", source))).stdout;
  assert.match(text, /odd-\\xff\\x1b\[31m\\x0a\.txt/);
  assert.equal(text.includes("\x1b"), false);
  const [entry] = (await succeeds(agent("ls", "latest", source, "--json")))
    .json()
    .filter((one: { pathBase64?: string }) => one.pathBase64);
  assert.ok(Buffer.from(entry.pathBase64, "base64").equals(name));
  await rm(name);
  const to = join(directory, "odd");
  // The shell hands over the bytes that Node cannot.
  const script = `exec ./costor agent restore latest "$(printf '%b' '${source}/odd-\\0377\\0033[31m\\n.txt')" --to ${to} --config ${config}`;
  const restored = spawnSync("sh", ["-c", script], { encoding: "utf8", cwd: new URL("../../../", import.meta.url) });
  assert.equal(restored.status, 0, restored.stderr);
  assert.equal(await readFile(Buffer.concat([Buffer.from(to), name]), "utf8"), "odd");
});

test("a restore brings back what was, below the directory, and leaves what exists", async () => {
  const [first] = await snapshotIds();
  const to = join(directory, "restored");
  await succeeds(agent("restore", first!, "--to", to, "--verify"));
  assert.equal(await readFile(join(to, source, "marks.csv"), "utf8"), "1,2,3");
  await writeFile(join(to, source, "marks.csv"), "mine");
  await succeeds(agent("restore", first!, "--to", to));
  assert.equal(await readFile(join(to, source, "marks.csv"), "utf8"), "mine");
  await succeeds(agent("restore", first!, join(source, "marks.csv"), "--to", to, "--overwrite", "always"));
  assert.equal(await readFile(join(to, source, "marks.csv"), "utf8"), "1,2,3");
  const unknown = await agent("restore", first!, "/nowhere", "--to", to);
  assert.deepEqual([unknown.code, /path-unknown/.test(unknown.stderr)], [1, true]);
  const refused = await agent("restore", first!, "--to", join(source, "marks.csv"));
  assert.deepEqual([refused.code, /restore-refused.*ENOTDIR/.test(refused.stderr)], [1, true], refused.stderr);
});

test("what cannot be read is named, makes the snapshot partial and the exit code 3", async () => {
  const own = await scratchDirectory("unreadable");
  const file = join(own, "agent.yaml");
  await succeeds(costor(["agent", "enrol", await site.enrolToken("partial"), "--config", file]));
  await writeFile(join(own, "readable"), "r");
  await writeFile(join(own, "secret"), "s");
  await chmod(join(own, "secret"), 0);
  // Root reads everything, so it lets another user try.
  const nobody = process.geteuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
  const all = [own, ...(await readdir(own)).map((name) => join(own, name))];
  if (nobody) for (const path of all) await chown(path, nobody.uid, nobody.gid);
  const partial = await costor(["agent", "backup", own, "--config", file, "--json"], nobody);
  assert.equal(partial.code, 3, partial.stderr);
  const report = partial.json();
  assert.deepEqual(
    [report.isPartial, report.unreadableCount, report.unreadable[0].path],
    [true, 1, join(own, "secret")],
  );
  const [listed] = (await succeeds(costor(["agent", "snapshots", "--config", file, "--json"]))).json();
  assert.deepEqual([listed.isPartial, listed.unreadableCount], [true, 1]);
  const restore = ["agent", "restore", "latest", "--to", join(own, "to"), "--config", file];
  const refused = await costor([...restore, "--delete"]);
  assert.deepEqual([refused.code, /restore-refused.*--delete-from-partial/.test(refused.stderr)], [1, true]);
  await succeeds(costor([...restore, "--delete-from-partial"]));
});

test("a root that is a symlink is named, with what to do, and makes the exit code 3", async () => {
  const link = join(directory, "link");
  await symlink(source, link);
  const text = await agent("backup", link);
  assert.deepEqual([text.code, text.stdout.includes(": 0 files")], [3, true], text.stderr);
  assert.ok(text.stderr.includes(`not read: ${link}: it is a symlink to ${source}, and nothing but`), text.stderr);
  const report = (await agent("backup", `${link}/`, "--json")).json();
  assert.deepEqual([report.isPartial, report.unreadable[0].path], [true, link]);
});

test("Ctrl-C ends a backup with exit code 130, and the next one goes on from there", async () => {
  const large = join(directory, "large");
  await writeFile(large, randomBytes(6_000_000));
  const slow = join(directory, "slow.yaml");
  await writeFile(slow, `${await readFile(config, "utf8")}\nbandwidthLimit: 1 MB/s\n`, { mode: 0o600 });
  const interrupted = startCostor(["agent", "backup", large, "--config", slow]);
  await sleep(3_500);
  interrupted.child.kill("SIGINT");
  const ended = await interrupted.ended;
  assert.equal(ended.code, 130, ended.stderr);
  assert.match(ended.stderr, /interrupted/);
  const resumed = (await succeeds(agent("backup", large, "--json"))).json();
  assert.equal(resumed.readBytes, 6_000_000);
  const [listed] = (await succeeds(agent("snapshots", "--json"))).json().slice(-1);
  assert.equal(listed.bytes, 6_000_000);
  const to = join(directory, "large-restored");
  await succeeds(agent("restore", "latest", "--to", to));
  assert.ok((await readFile(join(to, large))).equals(await readFile(large)));
});

test("a path that does not exist is an error of its own", async () => {
  const ended = await agent("backup", join(directory, "no such thing"));
  assert.ok(ended.code === 1 || ended.code === 3, String(ended.code));
  assert.match(ended.stderr, /no such thing|nothing could be read/);
});

test("wrong usage and a wrong configuration have exit code 2 and say what is right", async () => {
  const broken = join(directory, "broken.yaml");
  await writeFile(broken, (await readFile(config, "utf8")).replace("exclude: []", "exclude: yes please"), {
    mode: 0o600,
  });
  const wrong = await costor(["agent", "backup", "--config", broken]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, new RegExp(`${broken}:\\d+: exclude .* list is expected.* Right is`));
  assert.equal((await agent("ls")).code, 2);
  assert.equal((await agent("restore", "latest", "--to", "/x", "--overwrite", "perhaps")).code, 2);
  assert.equal((await costor(["agent", "backup", "--config", join(directory, "none.yaml")])).code, 2);
  assert.equal((await agent("ls", "ffff")).code, 1);
  assert.equal((await costor(["agent", "backup", "--help"])).code, 0);
});

test("a revoked agent is told so", async () => {
  const revoked = join(directory, "revoked.yaml");
  const enrolled = (
    await succeeds(costor(["agent", "enrol", await site.enrolToken("leaver"), "--config", revoked, "--json"]))
  ).json();
  await succeeds(costor(["site", "agents", "revoke", enrolled.agentId, "--data", site.dataDirectory]));
  const refused = await costor(["agent", "snapshots", "--config", revoked]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /unauthorised/);
});

test("an agent sees nothing of another agent's snapshots", async () => {
  const [first] = await snapshotIds();
  const other = join(directory, "other.yaml");
  assert.deepEqual((await succeeds(costor(["agent", "snapshots", "--config", other, "--json"]))).json(), []);
  assert.match((await costor(["agent", "ls", first!, "--config", other])).stderr, /snapshot-unknown/);
});

test("a site that is away is said to be unreachable, and is used again when it is back", async () => {
  await site.stop();
  const away = await agent("snapshots");
  assert.equal(away.code, 1);
  assert.match(away.stderr, /site-unreachable/);
  await site.start();
  await succeeds(agent("snapshots"));
});

test("the scheduler backs up when it starts, keeps a second one out, and stops cleanly", async () => {
  const before = (await snapshotIds()).length;
  const setJitter = async (jitter: string): Promise<void> => {
    const changed = (await readFile(config, "utf8")).replace(/jitter: .*/, `jitter: ${jitter}`);
    await writeFile(config, changed, { mode: 0o600 });
  };
  await setJitter("24 h");
  const waiting = startCostor(["agent", "run", "--config", config, "--json"]);
  await waiting.line(/"event":"waiting".*"untilMs"/);
  const second = await agent("run");
  assert.equal(second.code, 1);
  assert.match(second.stderr, /agent-busy/);
  waiting.child.kill("SIGTERM");
  const stopped = await waiting.ended;
  assert.deepEqual([stopped.code, /"event":"stopped"/.test(stopped.stdout)], [0, true], stopped.stderr);
  assert.equal((await snapshotIds()).length, before, stopped.stdout);
  await setJitter("0 s");
  const working = startCostor(["agent", "run", "--config", config]);
  await working.line(/ finished: /);
  await working.line(/ waiting: the next backup starts at /);
  working.child.kill("SIGINT");
  const ended = await working.ended;
  assert.equal(ended.code, 0);
  assert.equal((await snapshotIds()).length, before + 1, ended.stdout);
});

test.run();
