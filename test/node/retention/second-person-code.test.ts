/**
 * Goal: nobody is the second person without the code; guesses are few and seen, and a code that is lost is waited out in sight of all. Method: as in
 * second-person.test.ts.
 */
import assert from "node:assert/strict";
import { stateFacts } from "#node/federation/site-statements.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type CostorError, isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";
import { withSecondPerson } from "./restarted-site.ts";
import { RetainedSite } from "./retained-site.ts";

const test = suite("second person's code", { timeoutMs: 60_000 });
const code = (wanted: CostorError["code"]) => (error: unknown) => isCostorError(error, wanted);
const LOCK_DAYS = 45;
const WRONG = "abandon ability able about above absent";
const less = { daily: 5 };

test("words are typed as people type them: four letters of each, any case, numbered", async () => {
  const { world, words } = await withSecondPerson();
  const typed = words
    .split(" ")
    .map((word, index) => `${index + 1}. ${word.slice(0, 4).toUpperCase()}`)
    .join("\n");
  await world.site.retention.decide({}, less);
  await world.site.retention.secondPerson.approve({}, await world.decidedMs(), typed);
  assert.equal((await world.policy()).needsApproval, false);
});

test("a wrong code does nothing; the first is told at once, and all stand as an alarm over restarts until a right one", async () => {
  const { world, words } = await withSecondPerson();
  await world.site.retention.decide({}, less);
  const approve = async (given: string) =>
    world.site.retention.secondPerson.approve({}, await world.decidedMs(), given);
  for (let count = 0; count < 3; count++) {
    await assert.rejects(approve(WRONG), code("wrong-code"));
    await assert.rejects(world.site.retention.secondPerson.end(WRONG), code("wrong-code"));
    await assert.rejects(world.site.retention.secondPerson.set(WRONG), code("wrong-code"));
  }
  await assert.rejects(world.site.retention.secondPerson.set(), code("second-person-needed"));
  assert.equal(world.site.warnings.length, 1);
  for (const noGuess of ["", "abandn ability able about above absent", WRONG.slice(0, -7)])
    await assert.rejects(approve(noGuess), code("wrong-code"));
  assert.match((await (await world.again()).state()).alarms.join(), /second person's were given \(9\)/);
  assert.equal((await world.policy()).needsApproval, true);
  await approve(words);
  assert.deepEqual((await (await world.again()).state()).alarms, []);
});

test("neither saying that the code is lost nor taking that back ends the alarm about wrong codes", async () => {
  const { world } = await withSecondPerson();
  await assert.rejects(world.site.retention.secondPerson.end(WRONG), code("wrong-code"));
  await world.site.retention.secondPerson.end();
  await world.site.retention.secondPerson.undoEnd();
  assert.match((await (await world.again()).state()).alarms.join(), /were given \(1\)/);
});

test("guesses are bounded: after too many in a minute no code is looked at, also the right one", async () => {
  const { world, words } = await withSecondPerson();
  const { secondPerson } = world.site.retention;
  for (let count = 0; count < limits.secondPersonGuessesPerMinuteCount; count++)
    await assert.rejects(secondPerson.end(WRONG), code("wrong-code"));
  for (const given of [WRONG, words]) await assert.rejects(secondPerson.end(given), code("too-many-requests"));
  world.site.clock.pass(60_000);
  await secondPerson.end(words);
  assert.equal((await world.site.retention.state()).secondPerson, undefined);
});

test("without the code nothing ends before 45 days, people see that all the time, and then graces begin", async () => {
  const { world } = await withSecondPerson();
  await world.site.retention.decide({}, less);
  await world.site.retention.secondPerson.end();
  assert.equal(world.site.warnings.length, 1);
  for (let day = 0; day < LOCK_DAYS; day++) {
    const { alarms, secondPerson } = await (await world.again()).state();
    assert.match(alarms.join(), /said to be lost.*second-person undo/);
    assert.ok(secondPerson?.endsMs !== undefined);
    // Saying it again makes it neither longer nor shorter.
    await world.site.retention.secondPerson.end();
    await world.site.days(1);
  }
  assert.equal((await (await world.again()).state()).secondPerson, undefined);
  assert.deepEqual(await world.policy(), { policy: {}, next: undefined, needsApproval: undefined });
  await world.site.retention.decide({}, less);
  await world.days(6);
  assert.deepEqual((await world.policy()).policy, {});
});

test("that the code is lost is taken back without it, and by another second person; saying so again waits all the time again", async () => {
  const { world, words } = await withSecondPerson();
  await assert.rejects(world.site.retention.secondPerson.undoEnd(), code("not-found"));
  for (const takeBack of [
    () => world.site.retention.secondPerson.undoEnd(),
    () => world.site.retention.secondPerson.set(words),
  ]) {
    await world.site.retention.secondPerson.end();
    await world.days(LOCK_DAYS - 1);
    await takeBack();
    await world.days(LOCK_DAYS);
    const { secondPerson, alarms } = await (await world.again()).state();
    assert.deepEqual([secondPerson?.endsMs, alarms], [undefined, []]);
    assert.ok(secondPerson);
  }
});

test("the code is in no fact, and that there is none any more is told the ledger too", async () => {
  const { world, words } = await withSecondPerson();
  const kept: string[] = [];
  const facts = async () => {
    for (const { kind, key } of [...stateFacts, { kind: "retention", key: "wrong-codes" }]) {
      const value = await world.site.store.fact(kind, key);
      if (value !== undefined) kept.push(Buffer.from(value).toString("latin1"));
    }
    return kept.join("\n");
  };
  const text = await facts();
  for (const word of words.split(" ")) assert.ok(!text.includes(word), word);
  await world.site.retention.secondPerson.end(words);
  const ended = await world.site.store.fact("retention", "second-person");
  assert.deepEqual(Buffer.from(ended!), Buffer.from(encodeCbor({ person: null })));
});

test("without a second person there is nothing to approve, to end, or to take back, and a code is not looked at", async () => {
  const { retention } = await RetainedSite.open();
  await retention.decide({}, { last: 1 });
  const { sinceMs } = (await retention.state()).policies[0]!.next!;
  await assert.rejects(retention.secondPerson.approve({}, sinceMs, WRONG), code("not-found"));
  await assert.rejects(retention.secondPerson.end(), code("not-found"));
  await assert.rejects(retention.secondPerson.end(WRONG), code("not-found"));
  await assert.rejects(retention.secondPerson.undoEnd(), code("not-found"));
  await retention.secondPerson.set(WRONG);
});

test.run();
