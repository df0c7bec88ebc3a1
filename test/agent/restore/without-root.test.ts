/**
 * Goal: without root a restore gives what its user may give, and tells the rest.
 * Method: root's test becomes nobody with a further group.
 */
import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestMachine, asNobody } from "#test/agent/backup/backup-fixture.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("restoring without root");
const NOBODY = 65_534;
const [MEMBER_OF, STRANGE] = [2_000, 3_000];

test("a group that the user is in comes back, with its setgid bit; another owner or group is a note", async ({
  skip,
}) => {
  if (process.geteuid!() !== 0) skip("needs root, to give files away and then to give root up");
  const machine = await TestMachine.make("groups");
  mkdirSync(machine.path("shared"));
  for (const name of ["shared/file", "strange", "theirs"]) writeFileSync(machine.path(name), name);
  // Now all belongs to nobody.
  await asNobody(machine, async () => undefined);
  for (const name of ["shared", "shared/file"]) chownSync(machine.path(name), NOBODY, MEMBER_OF);
  chmodSync(machine.path("shared"), 0o2770);
  chownSync(machine.path("strange"), NOBODY, STRANGE);
  chmodSync(machine.path("strange"), 0o2755);
  chownSync(machine.path("theirs"), 1_000, MEMBER_OF);
  chmodSync(machine.path("theirs"), 0o6755);
  const { report, to } = await asNobody(machine, async () => {
    await machine.backUp();
    return machine.restore();
  }, [MEMBER_OF]);
  const facts = (name: string): unknown[] => {
    const { uid, gid, mode } = statSync(join(to, machine.path(name)));
    return [uid, gid, (mode & 0o7777).toString(8)];
  };
  assert.deepEqual(facts("shared"), [NOBODY, MEMBER_OF, "2770"]);
  assert.deepEqual(facts("shared/file").slice(0, 2), [NOBODY, MEMBER_OF]);
  assert.deepEqual(facts("strange"), [NOBODY, NOBODY, "755"]);
  assert.deepEqual(facts("theirs"), [NOBODY, MEMBER_OF, "2755"]);
  assert.equal(report.failedCount, 0);
  assert.deepEqual(
    report.notes
      .filter(({ path }) => path.startsWith(machine.source))
      .map(({ path, kind }) => [path, kind])
      .sort(),
    [
      [machine.path("strange"), "owner"],
      [machine.path("strange"), "privileges"],
      [machine.path("theirs"), "owner"],
      [machine.path("theirs"), "privileges"],
    ],
  );
});

test.run();
