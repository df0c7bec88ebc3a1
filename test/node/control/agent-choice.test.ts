/** Machines are named as people know them. */
import assert from "node:assert/strict";
import { chooseAgent } from "#node/control/agent-choice.ts";
import type { AgentRecord } from "#node/site/agent-registry.ts";
import { isCostorError } from "#protocol/errors.ts";
import { makeUuidV7, parseAgentId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("the choice of an agent");
const agents = ["office", "lab", "lab"].map((name, at) => ({ name, id: parseAgentId(makeUuidV7(at)) }) as AgentRecord);

test("by its name or its id, whatever the case of that", () => {
  assert.equal(chooseAgent(agents, "office"), agents[0]);
  assert.equal(chooseAgent(agents, agents[2]!.id.toUpperCase()), agents[2]);
});

test("an unknown one and a name of two are told", () => {
  assert.throws(
    () => chooseAgent(agents, "Office"),
    (error) => isCostorError(error, "not-found"),
  );
  assert.throws(
    () => chooseAgent(agents, "lab"),
    (error) => isCostorError(error, "bad-usage") && /give the id/.test(error.message),
  );
});

test.run();
