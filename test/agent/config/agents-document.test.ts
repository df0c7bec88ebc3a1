/** Goal: the administrators' page names every field of the configuration, and nothing that is none. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fields, nameOf } from "#agent/config/config-fields.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("agents.md");

test("the table of fields has exactly the declared ones", async () => {
  const page = await readFile(new URL("../../../docs/agents.md", import.meta.url), "utf8");
  const table = page.slice(page.indexOf("| field | meaning |"), page.indexOf("**Patterns**"));
  const documented = [...table.matchAll(/^\| `([\w.]+)` \|/gm)].map((row) => row[1]);
  assert.deepEqual(documented.sort(), Object.values(fields).map(nameOf).sort());
});

test.run();
