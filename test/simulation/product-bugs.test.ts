/**
 * Goal: bugs of the program itself are found, by the invariant that is there for them. Method: each bug alone in a copy of the source;
 * the simulator runs a few seeds there, as a process.
 */
import assert from "node:assert/strict";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { copyTree, patchTree, runIn } from "./patched-tree.ts";
import { ledgerBugs } from "./ledger-bugs.ts";
import { nodeBugs } from "./node-bugs.ts";

const test = suite("bugs of the program", { timeoutMs: count(300_000, 3_600_000) });
/** From the seed on that is known to find it. */
const SEEDS_COUNT = 6;
const productBugs = [...ledgerBugs, ...nodeBugs];
const tree = copyTree();

for (const { what, patches, invariants, seed, words } of productBugs.slice(0, count(1, productBugs.length)))
  test(`it is found that ${what}`, async () => {
    const undo = await patchTree(await tree, patches);
    const runs: string[] = [];
    let failedBy: string | undefined;
    for (let at = seed; failedBy === undefined && at < seed + SEEDS_COUNT; at++) {
      const run = runIn(await tree, ["--seed", String(at), "--seeds", "1", "--backup-every", "8", ...words]);
      ({ failedBy } = run);
      runs.push(run.text);
    }
    await undo();
    assert.ok(failedBy !== undefined && invariants.includes(failedBy), runs.join(""));
  });

test.run();
