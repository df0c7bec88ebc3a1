/** Goal: a guest goes when it leaves or its inviter expels it, and hears of it over real lines. Method: real processes and the commands that people give. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { isCostorError } from "#protocol/errors.ts";
import { costor } from "#test/agent/cli/costor-process.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { bringIn } from "#test/demo/joining.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { federate, statusOf, until } from "./federated-sites.ts";

const test = suite("guests by command", { timeoutMs: 400_000 });
const end = new AbortController();
let sites: readonly DemoSite[] = [];

test.before(async () => {
  const scratch = await scratchDirectory("guests");
  sites = ["lake", "moor", "heath", "fell"].map(
    (name) => new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined }),
  );
  const [lake, moor, ...guests] = sites as [DemoSite, DemoSite, ...DemoSite[]];
  await federate([lake, moor]);
  for (const guest of guests) {
    await guest.start();
    await bringIn(guest, lake);
  }
});
test.after(async () => {
  await Promise.all(sites.map((site) => site.stop()));
});

const namesAt = async (site: DemoSite): Promise<string[]> =>
  (await site.call("federationMembers", {})).members.map(({ name }) => name).toSorted();

test("a guest is out when it leaves, or when its inviter expels it and no other, and hears of it", async () => {
  const [lake, moor, heath, fell] = sites as [DemoSite, DemoSite, DemoSite, DemoSite];
  await until("moor knows the guests", async () => (await namesAt(moor)).length === sites.length);
  await assert.rejects(
    moor.command(["federation", "expel", "fell"]),
    (error) => isCostorError(error, "bad-usage") && error.message.includes("a guest of lake"),
  );
  await heath.command(["federation", "leave", "--now", "--yes"]);
  const { stdout } = await costor(["federation", "expel", "fell", "--data", lake.data]);
  assert.match(stdout, /fell was this site's guest, and is out now/);
  for (const guest of [heath, fell])
    await until(`${guest.name} knows that it is out`, async () => (await statusOf(guest)).role === "none");
  for (const member of [lake, moor])
    await until(`${member.name} has no guests`, async () => (await namesAt(member)).join() === "lake,moor");
});

test.run();
