/** The commands about alarms of the ransomware brake, on a real site that does not run, and whose store a test gives an alarm. */
import assert from "node:assert/strict";
import type { NamedAlarm } from "#node/control/calls.ts";
import { AgentRegistry } from "#node/site/agent-registry.ts";
import { BrakeAlarms } from "#node/site/brake-alarms.ts";
import { openSiteStore } from "#node/site/site-store.ts";
import { makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { runCommand } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";
import { withSite } from "./command-site.ts";

const test = suite("alarm commands", { timeoutMs: 90_000 });

const [known, forgotten] = [1, 2].map((ms) => parseAgentId(makeUuidV7(ms)));
const [good, bad] = [3, 4].map((ms) => parseSnapshotId(makeUuidV7(ms)));
const counts = { filesBefore: 100, changedCount: 100, addedCount: 0, removedCount: 0 };

test("an alarm names its machine, and tells the id for programs, or for people when nobody knows a name", async () => {
  await withSite(async (site, data) => {
    await site.stop();
    {
      await using store = await openSiteStore(data);
      const agents = await AgentRegistry.open(store);
      const { fact } = agents.prepare({ id: known!, name: "Front office", hostName: "pc-7", enrolledMs: 1 });
      await store.appendFacts([fact]);
      let nowMs = 1000;
      const alarms = await BrakeAlarms.open({ store, now: () => nowMs++ });
      for (const agent of [known!, forgotten!])
        await alarms.raise({
          agent,
          snapshot: bad!,
          job: "files",
          before: good!,
          findings: ["mass-change"],
          ...counts,
        });
    }
    const list = (...words: string[]) => runCommand("site", "alarms", "list", "--data", data, ...words);
    const [head, newest, oldest] = (await list()).stdout.split("\n");
    assert.match(head!, /^RAISED \(UTC\) +MACHINE +SNAPSHOT /);
    assert.ok(newest!.includes(`  ${forgotten}  ${bad}  ${good}  `), newest);
    assert.match(oldest!, new RegExp(`  Front office +${bad}  ${good}  `));
    assert.deepEqual(
      (await list("--json")).json<NamedAlarm[]>().map(({ agent, agentName }) => ({ agent, agentName })),
      [
        { agent: forgotten, agentName: "" },
        { agent: known, agentName: "Front office" },
      ],
    );
  });
});

test.run();
