/** Goal: a site that may not know all of itself takes nothing away. Method: a federation's answers as they would be, one wrong at a time. */
import { equal, match } from "node:assert/strict";
import { deletionDoubt } from "#node/federation/deletion-doubt.ts";
import type { Federation } from "#node/federation/federation.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("deletion doubt");

interface Answers {
  readonly roster?: object;
  readonly blocking?: readonly string[];
  readonly sites?: readonly string[];
  readonly connected?: readonly string[];
  readonly stated?: readonly { readonly agent: string; readonly snapshot: string }[];
}

const self = "self";

function federation({
  roster = {},
  blocking = [],
  sites = [self, "other"],
  connected = ["peer"],
  stated = [],
}: Answers) {
  const parts = {
    membership: { roster, sites: () => sites },
    transport: { connected: () => connected },
    ledger: { statements: () => stated.map((statement) => ({ statement })) },
  };
  return { siteId: self, parts, blocking: () => blocking } as unknown as Federation;
}

const known = async (): Promise<Set<string>> => new Set(["agent/one", "agent/gone"]);
const one = { agent: "agent", snapshot: "one" };
const gone = { agent: "agent", snapshot: "gone" };

test("all is well with others reached, nothing that blocks, and every snapshot known", async () => {
  equal(await deletionDoubt(federation({ stated: [one, gone] }), known), undefined);
  equal(await deletionDoubt(federation({ sites: [self], connected: [] }), known), undefined, "alone");
});

test("what keeps it from signing, being cut off, and a snapshot that only the ledger knows each stop it", async () => {
  equal(await deletionDoubt(federation({ blocking: ["a fork"] }), known), "a fork");
  match((await deletionDoubt(federation({ connected: [] }), known))!, /no other site/);
  const stated = [one, { agent: "agent", snapshot: "forgotten" }];
  match((await deletionDoubt(federation({ stated }), known))!, /not here/);
});

test("a snapshot that comes while it is asked is no doubt", async () => {
  const here = new Set<string>(["agent/one"]);
  const answers = federation({ stated: [one] });
  answers.parts.ledger.statements = (() => {
    // Told to the ledger after it was here, and asked of the ledger first.
    here.add("agent/late");
    return [{ statement: one }, { statement: { agent: "agent", snapshot: "late" } }];
  }) as never;
  equal(await deletionDoubt(answers, async () => here), undefined);
});

test.run();
