/** The commands of the second person, beside a real site and without it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { RetentionState } from "#node/retention/retention.ts";
import { makeUuidV7 } from "#protocol/ids.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { runCommand, startSiteProcess } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";
import { codeOf, withSite } from "./command-site.ts";

const test = suite("second person's commands", { timeoutMs: 180_000 });
const program = join(import.meta.dirname, "../../../costor.ts");

test("what keeps less waits for the second person, whose code comes from a file or standard input, and is kept over a restart", async () => {
  await withSite(async (site, data) => {
    const retention = (...words: string[]) => runCommand("site", "retention", ...words, "--data", data);
    const failed = async (wanted: string, ...words: string[]) =>
      assert.equal(codeOf((await retention(...words, "--json")).stderr), wanted, words.join(" "));
    await failed("not-found", "second-person", "undo");
    const set = await retention("second-person", "set");
    assert.match(set.stdout, /^([a-z]+ ){5}[a-z]+\n$/);
    assert.match(set.stderr, /shown this once/);
    const file = join(data, "../code.txt");
    await writeFile(file, set.stdout);
    await failed("second-person-needed", "second-person", "set");
    await failed("not-found", "approve", "--code", file);

    const less = await retention("set", "--last", "1");
    assert.match(less.stdout, /A second person approves what keeps less/);
    assert.match(less.stdout, /waits for the second person.*approve:\n {2}from about .*: last 1;.*undo/);
    const remove = (...words: string[]) =>
      runCommand("site", "snapshot", "remove", makeUuidV7(1), "--data", data, "--json", ...words);
    assert.equal(codeOf((await remove()).stderr), "snapshot-unknown");
    assert.equal(codeOf((await remove("--code", file)).stderr), "snapshot-unknown");
    await failed("bad-usage", "approve");
    await failed("bad-usage", "approve", "--code", join(data, "none"));
    const wrong = join(data, "../wrong.txt");
    await writeFile(wrong, "abandon ability able about above absent");
    await failed("wrong-code", "approve", "--code", wrong);
    await failed("wrong-code", "second-person", "end", "--code", wrong);
    assert.match((await retention("show")).stdout, /! codes that are not .* \(2\)/);
    assert.match(site.stderr(), /a wrong code of the second person was given/);

    await site.stop();
    await failed("wrong-code", "approve", "--code", wrong);
    const again = await startSiteProcess(data);
    try {
      const approve = spawn(
        process.execPath,
        [...runtimeFlags, program, "site", "retention", "approve", "--data", data, "--code", "-"],
        { stdio: ["pipe", "pipe", "inherit"] },
      );
      approve.stdin.end(set.stdout);
      const approved = await text(approve.stdout);
      assert.match(approved, /^To be kept: last 1\nWith these rules .*\n! codes that are not .* \(3\)/);
      assert.doesNotMatch(approved, /waits for the second person/);
      const state = async () => (await retention("show", "--json")).json<RetentionState>();
      const { policies, secondPerson, alarms } = await state();
      assert.deepEqual([policies[0]!.next!.policy, policies[0]!.next!.needsApproval, alarms], [{ last: 1 }, false, []]);
      assert.ok(secondPerson!.sinceMs > 0);

      await failed("bad-usage", "second-person", "end", "--lost", "--code", file);
      assert.match((await retention("second-person", "end", "--lost")).stdout, /! the code .* said to be lost/);
      assert.match(again.stderr(), /said to be lost/);
      assert.doesNotMatch((await retention("second-person", "undo")).stdout, /lost/);
      const other = (await retention("second-person", "set", "--code", file, "--json")).json<{ words: string[] }>();
      assert.equal(other.words.length, 6);
      await failed("wrong-code", "second-person", "end", "--code", file);
      await writeFile(file, other.words.join(" "));
      assert.doesNotMatch((await retention("second-person", "end", "--code", file)).stdout, /second person|last 1/);
      assert.equal((await state()).secondPerson, undefined);
    } finally {
      await again.stop("SIGKILL");
    }
  });
});

test.run();
