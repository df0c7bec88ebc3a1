/**
 * Goal: a site that leaves with its kit has it signed by every holder that its copies are erased, and has lost nothing itself. Method: real processes and the
 * commands that people give.
 */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openLog, parseEntry, verifyEntry } from "#ledger/entry.ts";
import type { ShownErasure } from "#node/control/federation-calls.ts";
import { isCostorError } from "#protocol/errors.ts";
import { keyStream } from "#test/bench/generated-content.ts";
import { costor } from "#test/agent/cli/costor-process.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { federate, until, untilSafe } from "./federated-sites.ts";

const test = suite("leaving by command", { timeoutMs: 400_000 });
const end = new AbortController();
let scratch = "";
let content = "";
let sites: readonly DemoSite[] = [];
let hill: DemoSite;

test.before(async () => {
  scratch = await scratchDirectory("leaving");
  content = join(scratch, "content");
  await mkdir(content);
  for (let file = 0; file < 30; file++) await writeFile(join(content, `${file}`), keyStream(`file ${file}`, 90_000));
  sites = ["hill", "lake", "moor", "wood"].map(
    (name) => new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined }),
  );
  hill = sites[0]!;
  await federate(sites);
  await hill.enrolAgent();
  await hill.backUp([content]);
  await untilSafe(hill);
});
test.after(async () => {
  await Promise.all(sites.map((site) => site.stop()));
});

const keptOf = async (site: DemoSite): Promise<number> =>
  (await site.call("federationStatus", {})).kept.reduce((sum, { count }) => sum + count, 0);

test("without its kit, or with another one, nothing is ordered", async () => {
  const leave = ["federation", "leave", "--erase", "--yes", "--kit"];
  await assert.rejects(hill.command([...leave, sites[1]!.kit]), (error) => isCostorError(error, "kit-of-another-site"));
  await assert.rejects(hill.command([...leave, hill.kit, "--now"]), (error) => isCostorError(error, "bad-usage"));
  assert.equal((await hill.call("federationStatus", {})).leaving, undefined);
});

test("each holder erases what it has and signs it, then the site is out", async () => {
  const others = sites.slice(1);
  const had = (await Promise.all(others.map(keptOf))).reduce((sum, count) => sum + count, 0);
  assert.ok(had > 0);
  await hill.command(["federation", "leave", "--erase", "--yes", "--kit", hill.kit]);
  await until("it is out", async () => {
    for (const site of sites) await site.call("federationSend", {}).catch(() => undefined);
    const { members } = await others[0]!.call("federationMembers", {});
    return members.find(({ name }) => name === "hill")?.role === "expelled";
  });
  for (const site of others) assert.equal(await keptOf(site), 0);
  const erasures = await hill.command<ShownErasure[]>(["federation", "erasures"]);
  assert.equal(
    erasures.reduce((sum, { receipt }) => sum + receipt!.count, 0),
    had,
  );
  for (const { site, receipt } of erasures) {
    const log = openLog(Buffer.from(receipt!.certificate, "base64"));
    verifyEntry(parseEntry(Buffer.from(receipt!.entry, "base64")), log);
    assert.equal(log.certificate.siteId, site);
  }
  const { stdout } = await costor(["federation", "erasures", "--data", hill.data]);
  assert.match(stdout, /lake\s.*primes,.*\(UTC\)/);
});

test("it has all its snapshots", async () => {
  const target = join(scratch, "restored");
  await hill.agentCommand(["restore", "latest", "--to", target]);
  assert.deepEqual(treeDifferences(content, join(target, content)), []);
  await hill.backUp([content]);
});

test.run();
