/** Goal: the ledger is told of every agent and snapshot, sealed, in the end once, whatever was interrupted. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { SiteStatements } from "#node/federation/site-statements.ts";
import type { Statement, StatementOf } from "#ledger/statements.ts";
import { makeUuidV7, parseSiteId } from "#protocol/ids.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("site statements");
const siteId = parseSiteId(randomBytes(32).toString("hex"));
const agent = makeUuidV7(1);
const snapshot = makeUuidV7(2);

async function open(store = createMemoryStore()) {
  const written: Statement[] = [];
  const ledger = { failure: undefined as Error | undefined };
  const statements = await SiteStatements.open(
    {
      store,
      entries: {
        write: async (statement) => {
          if (ledger.failure) throw ledger.failure;
          written.push(statement);
          return Buffer.alloc(0);
        },
      },
      seal: async (plain, context) => Buffer.concat([Buffer.from("sealed"), context, plain.map((byte) => byte ^ 0xff)]),
    },
    { siteId },
  );
  return { store, statements, written, ledger };
}

test("each agent and snapshot is told once, and again only when it changed", async () => {
  const { store, statements, written } = await open();
  await store.appendFacts([
    { kind: "agent", key: agent, value: Buffer.from("Till in the office") },
    { kind: "snapshot", key: `${agent}/${snapshot}`, value: Buffer.from("/home/till") },
  ]);
  await statements.publish();
  await statements.publish();
  deepEqual(
    written.map(({ kind }) => kind),
    ["agent", "snapshot"],
  );
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from("revoked") }]);
  await statements.publishOne("agent", agent);
  equal(written.length, 3);
  equal((await open(store)).written.length, 0);
  const again = await open(store);
  await again.statements.publish();
  equal(again.written.length, 0, "a restart tells nothing twice");
});

test("what the ledger did not take is told the next time", async () => {
  const { store, statements, written, ledger } = await open();
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from("a") }]);
  ledger.failure = new Error("the ledger is not to be written");
  await rejects(statements.publish());
  ledger.failure = undefined;
  await statements.publish();
  equal(written.length, 1);
});

test("an entry shows ids and nothing else in plain", async () => {
  const { store, statements, written } = await open();
  const secret = "a name that nobody else reads";
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from(secret) }]);
  await statements.publish();
  deepEqual(Object.keys(written[0]!).toSorted(), ["agent", "kind", "sealed"]);
  equal((written[0] as StatementOf<"agent">).sealed.includes(secret), false);
});

test.run();
