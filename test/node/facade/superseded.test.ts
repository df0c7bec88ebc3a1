/** Goal: a machine whose place another one has taken takes no backups and enrols nobody, and gives what it has. */
import assert from "node:assert/strict";
import { type Problem, paths } from "#protocol/http.ts";
import { makeUuidV7 } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { startTestSite } from "#test/support/test-site.ts";

const test = suite("superseded");

test("backups and enrolments are refused with the reason from when it is known, and reading goes on", async () => {
  let isSuperseded = false;
  await using site = await startTestSite({ isSuperseded: () => isSuperseded });
  const { token } = await site.enrol();
  const open = { path: paths.sessions, token, json: { job: "home", snapshotId: makeUuidV7(1) } };
  assert.equal((await site.ask(open)).status, 200);
  isSuperseded = true;
  for (const path of [paths.sessions, paths.enrol, paths.primes(makeUuidV7(1)), paths.commit(makeUuidV7(1))]) {
    const { status, json } = await site.ask({ ...open, path });
    assert.deepEqual([status, (json() as Problem).code], [421, "site-superseded"], path);
  }
  for (const path of [paths.snapshots, paths.checkIn])
    assert.equal((await site.ask({ method: "GET", path, token })).status, 200, path);
});

test.run();
