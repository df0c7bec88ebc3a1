/** Goal: the ledger is told of every agent and snapshot, sealed, in the end once, whatever was interrupted. */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { SiteStatements } from "#node/federation/site-statements.ts";
import type { Statement, StatementOf } from "#ledger/statements.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { makeUuidV7, parseSiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("site statements");
const siteId = parseSiteId(randomBytes(32).toString("hex"));
const agent = makeUuidV7(1);
const snapshot = makeUuidV7(2);
const identityState = Buffer.from("name and certificate authority");

async function open(store = createMemoryStore()) {
  const written: Statement[] = [];
  const withdrawn: string[] = [];
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
        withdraw: async (_, ...subjects) => {
          if (ledger.failure) throw ledger.failure;
          withdrawn.push(...subjects);
        },
      },
      seal: async (plain, context) => Buffer.concat([Buffer.from("sealed"), context, plain.map((byte) => byte ^ 0xff)]),
    },
    { siteId, identityState },
  );
  return { store, statements, written, withdrawn, ledger };
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
    ["state", "agent", "snapshot"],
  );
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from("revoked") }]);
  await statements.publishOne("agent", agent);
  equal(written.length, 4);
  equal((await open(store)).written.length, 0);
  const again = await open(store);
  await again.statements.publish();
  equal(again.written.length, 0, "a restart tells nothing twice");
});

test("once all was told, repeating it reads nothing, until a change could not be told", async () => {
  const store = createMemoryStore();
  let readsCount = 0;
  const facts: typeof store.facts = (kind, prefix) => {
    if (kind === "snapshot") readsCount++;
    return store.facts(kind, prefix);
  };
  const { statements, written, ledger } = await open(Object.assign(Object.create(store) as typeof store, { facts }));
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from("Till in the office") }]);
  for (let count = 0; count < 3; count++) await statements.publish();
  equal(readsCount, 1);
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from("revoked") }]);
  ledger.failure = new Error("no other site was asked");
  await rejects(statements.publishOne("agent", agent));
  ledger.failure = undefined;
  await statements.publish();
  await statements.publish();
  equal(readsCount, 2);
  equal(written.filter(({ kind }) => kind === "agent").length, 2);
});

test("what the ledger did not take is told the next time", async () => {
  const { store, statements, written, ledger } = await open();
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from("a") }]);
  ledger.failure = new Error("the ledger is not to be written");
  await rejects(statements.publish());
  ledger.failure = undefined;
  await statements.publish();
  deepEqual(
    written.map(({ kind }) => kind),
    ["state", "agent"],
  );
});

test("the site's identity and what its people have set are told as state, part by part", async () => {
  const { store, statements, written } = await open();
  await store.appendFacts([{ kind: "federation", key: "settings", value: Buffer.from("first") }]);
  await statements.publish();
  await store.appendFacts([{ kind: "federation", key: "settings", value: Buffer.from("second") }]);
  await statements.publish();
  deepEqual(
    written.map((statement) => statement.kind === "state" && statement.part),
    ["identity", "federation/settings", "federation/settings"],
  );
});

test("a snapshot with more roots than an entry has room for is told with fewer, and once", async () => {
  const roots = Array.from({ length: 4096 }, (_, at) => Buffer.alloc(100, `${at}/`));
  const { store, statements, written } = await open();
  await store.appendFacts([
    {
      kind: "snapshot",
      key: `${agent}/${snapshot}`,
      value: encodeCbor({ bytes: 7, roots, sealedRoot: Buffer.alloc(200) }),
    },
  ]);
  await statements.publish();
  await statements.publish();
  equal(written.length, 2);
  const { sealed } = written[1] as StatementOf<"snapshot">;
  ok(sealed.length < limits.ledgerEntryBytes - 1024);
  const plain = sealed.map((byte) => byte ^ 0xff);
  ok(Buffer.from(plain).includes(roots[0]!));
});

test("an entry shows ids and nothing else in plain", async () => {
  const { store, statements, written } = await open();
  const secret = "a name that nobody else reads";
  await store.appendFacts([{ kind: "agent", key: agent, value: Buffer.from(secret) }]);
  await statements.publish();
  deepEqual(Object.keys(written[1]!).toSorted(), ["agent", "kind", "sealed"]);
  equal((written[1] as StatementOf<"agent">).sealed.includes(secret), false);
});

test("what is withdrawn is told again only if it comes again", async () => {
  const { store, statements, written, withdrawn } = await open();
  const fact = { kind: "snapshot", key: `${agent}/${snapshot}`, value: Buffer.from("a") };
  await store.appendFacts([fact]);
  await statements.publish();
  await store.appendFacts([{ ...fact, value: undefined }]);
  await statements.withdrawSnapshots([fact.key]);
  deepEqual(withdrawn, [fact.key]);
  await statements.publish();
  equal(written.length, 2);
  await store.appendFacts([fact]);
  await statements.publishOne("snapshot", fact.key);
  equal(written.length, 3);
  equal((await open(store)).written.length, 0);
});

test.run();
