/**
 * Goal: three sites come together, keep each other's backups, and survive what happens to processes: kill -9, another port, the end
 * of a membership. Method: real processes on the loopback interface and the commands that people give; the tests follow each other.
 * At the full level also `npm run demo`, and the loss of any two of five sites.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "#node/federation/checkpoints.ts";
import type { NamedWhatIf } from "#node/federation/federation-control.ts";
import { type DrillResult, drillKinds } from "#node/drills/drill-record.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { parseKit } from "#protocol/kit.ts";
import { keyStream } from "#test/bench/generated-content.ts";
import { DemoSite, freePort } from "#test/demo/demo-site.ts";
import { bringIn, invite, startJoining, vote } from "#test/demo/joining.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { statusOf, until, untilSafe } from "./federated-sites.ts";

const test = suite("federation of processes", { timeoutMs: 180_000 });
const end = new AbortController();
let sites: [DemoSite, DemoSite, DemoSite];
let scratch = "";
const log: string[] = [];
let backupsCount = 0;

test.before(async () => {
  scratch = await scratchDirectory("federation");
  sites = ["Aldein", "Brixen", "Corvara"].map(
    (name) =>
      new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: (line) => void log.push(line) }),
  ) as typeof sites;
  await Promise.all(sites.map((site) => site.start()));
  await Promise.all(sites.map((site) => site.enrolAgent()));
});
test.after(async () => {
  await Promise.all(sites.map((site) => site.stop()));
});

const refusedWith =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isCostorError(error, code);

const allSafe = async (): Promise<unknown> => Promise.all(sites.map((site) => untilSafe(site)));

const untilConnected = (of: readonly DemoSite[], count: number): Promise<void> =>
  until(`each is connected to ${count}`, async () =>
    (await Promise.all(of.map(statusOf))).every(({ connectedCount }) => connectedCount === count),
  );

/** Something that was never there, for each of them. */
async function backUp(of: readonly DemoSite[] = sites): Promise<void> {
  const number = ++backupsCount;
  await Promise.all(
    of.map(async (site) => {
      const directory = join(scratch, `content-${site.name}-${number}`);
      await mkdir(directory);
      for (let file = 0; file < 40; file++)
        await writeFile(join(directory, `${file}`), keyStream(`${site.name} ${number} ${file}`, 60_000));
      await site.backUp([directory]);
    }),
  );
}

test("with wrong words nobody is let in, and the newcomer is told nothing before the right ones", async () => {
  const [first, second] = sites;
  await first.command(["federation", "create", "--name", "Schools"]);
  const { words, joined } = await startJoining(second, await invite(first, "Brixen"));
  assert.equal(words.length, 8);
  const wrong = [...words.slice(1), words[0]].join(" ");
  await assert.rejects(first.command(["federation", "confirm", "--words", wrong]), refusedWith("words-differ"));
  assert.equal((await statusOf(first)).guestsCount, 0);
  await assert.rejects(statusOf(second), refusedWith("not-in-federation"));
  await first.command(["federation", "confirm", "--words", words.join(" ")]);
  assert.deepEqual(((await joined) as { name: string; role: string }).role, "guest");
});

test("an invitation that was used, one that has expired, and one that people refuse let nobody in", async () => {
  const [first, , third] = sites;
  const brief = await invite(first, "somebody", "--days", "0.0001");
  const late = await startJoining(third, brief);
  await assert.rejects(late.joined, refusedWith("invitation-invalid"));
  await assert.rejects(startJoining(third, brief), refusedWith("peer-unreachable"), "nobody may knock");
  const used = await invite(first, "somebody");
  const { joined } = await startJoining(third, used);
  await first.command(["federation", "refuse"]);
  await assert.rejects(joined, refusedWith("peer-refused"));
  await assert.rejects(startJoining(third, used), refusedWith("peer-refused"));
  await assert.rejects(startJoining(third, brief), refusedWith("peer-refused"));
  assert.deepEqual(await first.command(["federation", "newcomers"]), []);
});

test("members admit guests by more than half of their votes", async () => {
  const [first, second, third] = sites;
  await bringIn(third, first);
  const isMember = (site: DemoSite) => async () => (await statusOf(site)).role === "member";
  await assert.rejects(third.command(["federation", "admit", "Corvara"]), refusedWith("not-in-federation"));
  await vote("admit", "Brixen", [first]);
  await until("the second is a member", isMember(second));
  await until("the second knows the third", async () => {
    const { members } = await second.call("federationMembers", {});
    return members.some(({ name }) => name === "Corvara");
  });
  await vote("admit", "Corvara", [first, second]);
  await until("the third is a member", isMember(third));
  await until("all know", async () => (await Promise.all(sites.map(statusOf))).every((one) => one.membersCount === 3));
});

test("what is backed up anywhere is held at both others, and their audits find it there", async () => {
  await backUp();
  await allSafe();
  for (const site of sites) {
    const { slices, kept, alarms } = await statusOf(site);
    assert.ok(slices.every(({ copies }) => copies.length === 2 && copies.every(({ reason }) => reason === undefined)));
    assert.equal(kept.length, 2);
    assert.deepEqual(alarms, []);
    const audits = await site.command<{ askedCount: number; rightCount: number }[]>(["federation", "audit"]);
    assert.equal(audits.length, 2);
    assert.ok(audits.every(({ askedCount, rightCount }) => askedCount > 0 && askedCount === rightCount));
  }
});

test("a checkpoint is reached, and a forecast of a fire names the sites that have everything", async () => {
  const [first, second] = sites;
  const { madeMs, reachedMs } = await first.command<Checkpoint>(["federation", "checkpoint", "--wait"]);
  assert.ok(reachedMs! >= madeMs);
  assert.equal((await statusOf(first)).checkpoint?.reachedMs, reachedMs);
  const { burnt, left, names } = await second.command<NamedWhatIf>(["federation", "what-if", "Aldein"]);
  assert.deepEqual([burnt.length, burnt[0]?.lostBytes, burnt[0]?.snapshots], [1, 0, burnt[0]?.newestSnapshots]);
  const sources = burnt[0]!.sources.map(({ siteId }) => names[siteId]);
  assert.ok(sources.length > 0 && sources.every((name) => name === "Brixen" || name === "Corvara"));
  assert.ok(left.every(({ bytes }) => bytes > 0));
  await assert.rejects(second.command(["federation", "what-if", "Nowhere"]), refusedWith("member-unknown"));
});

test("files and whole snapshots are restored from here and from the other sites alone", async () => {
  for (const how of [[], ["--whole"], ["--offsite"], ["--offsite", "--whole"], ["--across"]]) {
    const drill = await sites[0].command<DrillResult>(["site", "drills", "run", ...how]);
    assert.deepEqual([drill.failedCount, drill.failures], [0, []]);
    assert.ok(drill.filesCount >= 10 && drill.bytes >= 10 * 60_000, `${drill.filesCount} files, ${drill.bytes} bytes`);
  }
  const tampering = await sites[0].command<DrillResult>(["site", "drills", "run", "--tamper"]);
  assert.deepEqual([tampering.failedCount, tampering.failures], [0, []]);
  assert.deepEqual(
    tampering.refusals!.slice(0, -1).map(({ code }) => code),
    [
      ...["not-found", "not-found", "snapshot-unknown", "prime-missing", "prime-mismatch", "commit-incomplete"],
      ...["unauthorised", "differs"],
    ],
  );
  // The holder's word may be lost when it ends the run.
  assert.match(tampering.refusals!.at(-1)!.code, /^(signature-invalid|peer-unreachable)$/);
  const drills = await sites[0].command<DrillResult[]>(["site", "drills", "list"]);
  assert.deepEqual(
    drills.map(({ kind }) => kind),
    ["tamper", "across", "offsite", "offsite", "local", "local"],
  );
  const status = await statusOf(sites[0]);
  assert.deepEqual(
    status.drills.map(({ kind, hasPassedLately, failedCount }) => [kind, hasPassedLately, failedCount]),
    drillKinds.map((kind) => [kind, kind !== "kit", 0]),
  );
});

test("files come back by the kit from the other sites alone, another site's kit is refused, and nothing of the kit stays", async () => {
  const [site, other] = sites;
  const drill = await site.command<DrillResult>(["site", "drills", "kit", "--kit", site.kit]);
  assert.deepEqual([drill.kind, drill.failedCount, drill.failures], ["kit", 0, []]);
  assert.ok(drill.filesCount >= 10 && drill.bytes >= 10 * 60_000, `${drill.filesCount} files, ${drill.bytes} bytes`);
  await assert.rejects(site.command(["site", "drills", "kit", "--kit", other.kit]), refusedWith("kit-of-another-site"));
  const { drills } = await statusOf(site);
  assert.deepEqual(
    drills.map(({ kind, hasPassedLately, failedCount }) => [kind, hasPassedLately, failedCount]),
    drillKinds.map((kind) => [kind, true, 0]),
  );
  const { kitRoot } = parseKit(await readFile(site.kit, "utf8"));
  const found: string[] = [];
  const look = (name: string, bytes: Buffer): void => {
    for (const secret of [Buffer.from(kitRoot), Buffer.from(deriveRecoveryKey(kitRoot).seed)])
      for (const form of [secret, secret.toString("hex"), secret.toString("base64").replace(/=+$/, "")])
        if (bytes.includes(form)) found.push(name);
  };
  for (const entry of await readdir(site.data, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) look(entry.name, await readFile(join(entry.parentPath, entry.name)));
  look("the log", Buffer.from(log.join("\n")));
  assert.deepEqual(found, []);
  // Its own people know: nobody else has read anything.
  assert.deepEqual((await statusOf(site)).alarms, []);
});

test("each may be killed and comes back as it was, and what is new then is safe too", async () => {
  for (const site of sites) {
    const before = await statusOf(site);
    await site.kill();
    await site.start();
    const after = await statusOf(site);
    assert.deepEqual(after.snapshots, before.snapshots);
    assert.deepEqual(after.kept, before.kept);
  }
  await untilConnected(sites, 2);
  await backUp();
  await allSafe();
});

test("a site that comes back at another address is found again", async () => {
  const [, moving] = sites;
  await moving.stop();
  moving.peerPort = await freePort();
  await moving.start();
  await untilConnected(sites, 2);
  await backUp();
  await allSafe();
});

test("one that is expelled is disconnected, and holds nothing new", async () => {
  const [first, second, third] = sites;
  const { kept } = await statusOf(third);
  await vote("expel", "Corvara", sites);
  await untilConnected([first, second], 1);
  await until("it is told", async () => (await statusOf(third)).role !== "member");
  for (const { members } of await Promise.all([first, second].map((site) => site.call("federationMembers", {})))) {
    const { role, isConnected } = members.find(({ name }) => name === "Corvara")!;
    assert.deepEqual([role, isConnected], ["expelled", false]);
  }
  await backUp([first, second]);
  await until("the other one has it", async () => {
    const statuses = await Promise.all([first, second].map(statusOf));
    await Promise.all([first, second].map((site) => site.call("federationSend", {})));
    return statuses.every(({ snapshots }) => snapshots.onceCount === snapshots.storedCount);
  });
  assert.ok((await statusOf(first)).snapshots.safeCount < (await statusOf(first)).snapshots.storedCount);
  assert.deepEqual((await statusOf(third)).kept, kept);
});

test.run();
