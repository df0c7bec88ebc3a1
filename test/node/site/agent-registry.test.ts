/** Agents, their tokens, and the enrolment tokens that make them. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { AgentRegistry } from "#node/site/agent-registry.ts";
import { Enrolments } from "#node/site/enrolments.ts";
import { parseEnrolToken } from "#protocol/enrol-token.ts";
import { isCostorError } from "#protocol/errors.ts";
import { type AgentId, makeUuidV7, parseSiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("agents and enrolment");
const isRefused = (error: unknown) => isCostorError(error, "enrolment-refused");

async function make(store = createMemoryStore(), clockMs = { now: 1_700_000_000_000 }) {
  const agents = await AgentRegistry.open(store);
  const enrolments = new Enrolments({
    store,
    agents,
    now: () => clockMs.now,
    siteId: parseSiteId("12".repeat(32)),
    caHash: randomBytes(32),
  });
  const issue = async () => parseEnrolToken((await enrolments.issue("office", ["h:1"])).token).secret;
  return { store, agents, enrolments, clockMs, issue };
}

test("an enrolment token makes one agent, which is known after a restart too", async () => {
  const { agents, enrolments, issue, store } = await make();
  const secret = await issue();
  const results = await Promise.allSettled([
    enrolments.redeem(secret, "pc-1"),
    enrolments.redeem(secret, "pc-2"),
    enrolments.redeem(secret, "pc-3"),
  ]);
  assert.deepEqual(
    results.map((result) => result.status),
    ["fulfilled", "rejected", "rejected"],
  );
  const { token, agent } = (results[0] as PromiseFulfilledResult<Awaited<ReturnType<Enrolments["redeem"]>>>).value;
  assert.equal(agents.authenticate(token)?.id, agent.id);
  const restarted = await make(store);
  assert.deepEqual(restarted.agents.list(), [{ ...agent, name: "office", hostName: "pc-1", revokedMs: undefined }]);
  assert.equal(restarted.agents.authenticate(token)?.id, agent.id);
  await assert.rejects(restarted.enrolments.redeem(secret, "pc-4"), isRefused);
});

test("an unknown or expired enrolment token is refused, and a clock set back far does not revive one", async () => {
  const { enrolments, issue, clockMs } = await make();
  const secret = await issue();
  await assert.rejects(enrolments.redeem(randomBytes(16), "pc"), isRefused);
  await assert.rejects(enrolments.redeem(Buffer.alloc(0), "pc"), isRefused);
  clockMs.now += limits.enrolTokenLifeMs;
  await assert.rejects(enrolments.redeem(secret, "pc"), isRefused);
  clockMs.now -= 3 * limits.enrolTokenLifeMs;
  await assert.rejects(enrolments.redeem(secret, "pc"), isRefused);
});

test("a token with any character changed is nobody's, and no secret is stored in the clear", async () => {
  const { agents, enrolments, issue, store } = await make();
  const secret = await issue();
  const { token } = await enrolments.redeem(secret, "pc");
  for (let at = 0; at < token.length; at++) {
    for (const other of ["0", "A", ".", ""]) {
      const changed = token.slice(0, at) + other + token.slice(at + 1);
      if (changed !== token) assert.equal(agents.authenticate(changed), undefined, changed);
    }
  }
  for (const text of ["", "Bearer", "x".repeat(10_000), `${token}\0`, token.toUpperCase()])
    assert.equal(agents.authenticate(text), undefined);
  const stored = Buffer.concat(
    store.appended.map((fact) => Buffer.concat([Buffer.from(fact.key), fact.value ?? Buffer.alloc(0)])),
  );
  assert.equal(stored.includes(token.slice(33)), false);
  assert.equal(stored.includes(Buffer.from(secret)), false);
});

test("a revoked agent stays revoked, and revoking twice or a stranger is told", async () => {
  const { agents, enrolments, issue, store } = await make();
  const { token, agent } = await enrolments.redeem(await issue(), "pc");
  await agents.revoke(agent.id, 5);
  await agents.revoke(agent.id, 6);
  assert.equal(agents.authenticate(token), undefined);
  assert.equal(agents.activeCount, 0);
  const restarted = await make(store);
  assert.equal(restarted.agents.authenticate(token), undefined);
  assert.equal(restarted.agents.list()[0]?.revokedMs, 5);
  await assert.rejects(agents.revoke(makeUuidV7(1) as AgentId, 1), (error) => isCostorError(error, "not-found"));
});

test("an agent that the ledger knows comes back with its token, and revoked when it is so there or here", async () => {
  const before = await make();
  const { token, agent } = await before.enrolments.redeem(await before.issue(), "pc");
  const factOf = async (made: typeof before) => (await made.store.fact("agent", agent.id))!;
  const active = await factOf(before);
  await before.agents.revoke(agent.id, 5);
  const revoked = await factOf(before);
  const after = await make();
  await after.agents.regain(agent.id, active);
  assert.equal(after.agents.authenticate(token)?.name, agent.name);
  await after.agents.regain(agent.id, revoked);
  assert.equal(after.agents.authenticate(token), undefined);
  await after.agents.regain(agent.id, active);
  assert.equal(after.agents.authenticate(token), undefined);
  assert.equal((await make(after.store)).agents.list()[0]?.revokedMs, 5);
});

test("a machine that was set up anew becomes the agent that it was, and the former token ends, for good", async () => {
  const made = await make();
  const { token, agent } = await made.enrolments.redeem(await made.issue(), "old-pc");
  const before = (await made.store.fact("agent", agent.id))!;
  const again = await made.enrolments.issue("office 2", ["h:1"], agent.id);
  // Until it is used the machine of before goes on.
  assert.equal(made.agents.authenticate(token)?.id, agent.id);
  await made.agents.revoke(agent.id, 5);
  made.clockMs.now += 1000;
  const anew = await made.enrolments.redeem(parseEnrolToken(again.token).secret, "new-pc");
  const after = (await made.store.fact("agent", agent.id))!;
  const expected = { id: agent.id, name: "office 2", hostName: "new-pc", enrolledMs: made.clockMs.now };
  assert.deepEqual(anew.agent, expected);
  for (const { agents } of [made, await make(made.store)]) {
    assert.deepEqual(agents.list(), [{ ...expected, revokedMs: undefined }]);
    assert.equal(agents.authenticate(token), undefined);
    assert.equal(agents.authenticate(anew.token)?.id, agent.id);
  }
  // Whatever a ledger tells first.
  for (const order of [
    [before, after],
    [after, before],
  ]) {
    const { agents } = await make();
    for (const value of order) await agents.regain(agent.id, value);
    assert.equal(agents.authenticate(token), undefined);
    assert.equal(agents.authenticate(anew.token)?.id, agent.id);
  }
});

test("a revocation that the disk refused counts at once and can be repeated", async () => {
  const store = createMemoryStore();
  const { agents, enrolments, issue } = await make(store);
  const { token, agent } = await enrolments.redeem(await issue(), "pc");
  const append = store.appendFacts;
  store.appendFacts = () => Promise.reject(new Error("disk"));
  await assert.rejects(agents.revoke(agent.id, 5));
  assert.equal(agents.authenticate(token), undefined);
  store.appendFacts = append;
  await agents.revoke(agent.id, 9);
  assert.equal((await make(store)).agents.authenticate(token), undefined);
});

test.run();
