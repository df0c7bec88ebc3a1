/**
 * Goal: sites whose kits are lost have new ones by a majority of the members after the lock; with the new kit alone a site that burns then is
 * recovered, and the former kit is worth nothing. Method: real processes and the commands that people give; the lock passes by the clock that each site keeps,
 * moved while it is stopped. The tests follow each other.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { memberAddress } from "#node/cli/kit-federation.ts";
import type { AskedKit } from "#node/federation/kit-service.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { parseKit } from "#protocol/kit.ts";
import { keyStream } from "#test/bench/generated-content.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { federate, pass, until, untilSafe } from "./federated-sites.ts";

const test = suite("a lost kit", { timeoutMs: 400_000 });
const end = new AbortController();
let scratch = "";
let content = "";
let sites: [DemoSite, DemoSite, DemoSite];
let hill: DemoSite;
let lake: DemoSite;
let moor: DemoSite;
const refusedWith =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isCostorError(error, code);
const newKitOf = ({ name }: DemoSite): string => join(scratch, `new-kit-${name}.txt`);
const kitsAt = async (site: DemoSite): Promise<readonly AskedKit[]> => (await site.call("federationKits", {})).kits;

test.before(async () => {
  scratch = await scratchDirectory("lost-kit");
  content = join(scratch, "content");
  await mkdir(content);
  for (let file = 0; file < 30; file++) await writeFile(join(content, `${file}`), keyStream(`file ${file}`, 90_000));
  sites = ["hill", "lake", "moor"].map(
    (name) => new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined }),
  ) as typeof sites;
  [hill, lake, moor] = sites;
  await federate(sites);
  await hill.enrolAgent();
  await hill.backUp([content]);
  await untilSafe(hill);
});
test.after(async () => {
  await Promise.all(sites.map((site) => site.stop()));
});

test("two sites ask, and the others' people approve by the words that they hear", async () => {
  for (const asker of [hill, moor]) {
    const asked = await asker.command<AskedKit>(["site", "kit", "replace", "--lost", "--new-kit", newKitOf(asker)]);
    assert.equal(asked.words.length, 8);
    assert.equal(asked.neededCount, 2);
    for (const approver of sites.filter((site) => site !== asker)) {
      await until("it is known there", async () => (await kitsAt(approver)).some(({ name }) => name === asker.name));
      const approve = ["federation", "approve-kit", asker.name, "--words"];
      await assert.rejects(
        approver.command([...approve, asked.words.toReversed().join(" ")]),
        refusedWith("words-differ"),
      );
      await approver.command([...approve, asked.words.join(" ")]);
    }
  }
  await assert.rejects(hill.command(["federation", "approve-kit", "hill", "--words", "x"]), refusedWith("bad-usage"));
  await until("all see when it counts", async () =>
    (await Promise.all(sites.map(kitsAt))).every(
      (kits) => kits.filter(({ dueMs }) => dueMs !== undefined).length === 2,
    ),
  );
  const { alarms } = await lake.call("federationStatus", {});
  assert.equal(alarms.filter(({ code }) => code === "kit-asked-for").length, 2);
});

test("after it both have their new keys at all sites", async () => {
  await pass(sites);
  for (const site of sites)
    await until(`${site.name} knows both keys`, async () => {
      const { members } = await site.call("federationMembers", {});
      return members.every(({ name, kitNumber }) => kitNumber === (name === "hill" || name === "moor" ? 2 : 1));
    });
  assert.deepEqual(await kitsAt(lake), []);
});

test("a site that burns before it has restarted is restored elsewhere by the new kit, and not by the former one", async () => {
  await hill.stop();
  await rename(hill.data, `${hill.data}.burnt`);
  const target = join(scratch, "restored-elsewhere");
  const restore = (kit: string) => lake.command(["federation", "restore", "--kit", kit, "--target", target]);
  await assert.rejects(restore(hill.kit), refusedWith("signature-invalid"));
  await restore(newKitOf(hill));
  assert.deepEqual(treeDifferences(content, join(target, content)), []);
});

test("it is recovered by the new kit, and not by the former one", async () => {
  const { members } = await lake.call("federationMembers", {});
  const addresses = members
    .filter(({ name }) => name === "lake")
    .flatMap((member) => member.addresses.map((address) => memberAddress(address, member.peer!)));
  await assert.rejects(hill.recover(hill.kit, addresses), refusedWith("peer-refused"));
  await hill.recover(newKitOf(hill), addresses);
  let restoresCount = 0;
  // Others may not know the new machine yet.
  await until("all comes back", async () => {
    const target = join(scratch, `restored-${restoresCount++}`);
    await hill.agentCommand(["restore", "latest", "--to", target]);
    assert.deepEqual(treeDifferences(content, join(target, content)), []);
    return true;
  });
  await hill.backUp([content]);
});

test("a site that restarts has the new kit, which its people confirm", async () => {
  const before = await moor.call("kit", {});
  await moor.stop();
  await moor.start();
  const { fingerprint, positions } = await moor.call("kit", {});
  assert.notEqual(fingerprint, before.fingerprint);
  const { kitRoot } = parseKit(await readFile(newKitOf(moor), "utf8"));
  const words = wordsOfKitRoot(kitRoot);
  await moor.call("confirmKit", { words: Object.fromEntries(positions.map((at) => [String(at), words[at - 1]!])) });
  assert.ok(!(await readdir(moor.data)).some((name) => name.startsWith("site.")));
  const { alarms } = await moor.call("federationStatus", {});
  assert.ok(!alarms.some(({ code }) => code.startsWith("kit-")));
});

test("the holder of a kit objects at another site, and the request is over everywhere", async () => {
  await assert.rejects(
    moor.command(["site", "kit", "object", "--kit", lake.kit]),
    refusedWith("member-unknown"),
    "nothing was asked for",
  );
  const asked = await lake.command<AskedKit>(["site", "kit", "replace", "--lost", "--new-kit", newKitOf(lake)]);
  await until("it is known", async () => (await kitsAt(moor)).length === 1);
  await moor.command(["federation", "approve-kit", "--words", asked.words.join(" ")]);
  await moor.command(["site", "kit", "object", "--kit", lake.kit]);
  await until("lake knows", async () => (await kitsAt(lake))[0]?.isObjected === true);
  await assert.rejects(
    moor.command(["federation", "approve-kit", "--words", asked.words.join(" ")]),
    refusedWith("bad-usage"),
  );
  await lake.command(["site", "kit", "replace", "--lost", "--cancel"]);
  assert.deepEqual(await kitsAt(lake), []);
  assert.ok(!(await readdir(lake.data)).includes("site.requested"));
});

test.run();
