/** Goal: what is done when a site moves is done when it moves, and not with all else that it says of itself. Method: profiles one after the other. */
import assert from "node:assert/strict";
import type { StatementOf } from "#ledger/statements.ts";
import { SiteProfiles } from "#node/federation/site-profiles.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("site profiles");
const site = sampleSiteId("one");

test("a site has moved when its addresses are others than before, and stays then", () => {
  let profile: StatementOf<"profile"> | undefined;
  const stated = () => profile && { statement: profile };
  const membership = { siteOfPeer: () => site };
  const profiles = new SiteProfiles({ ledger: { statement: stated as never }, membership });
  const says = (changes: Partial<StatementOf<"profile">>): boolean => {
    const first = { kind: "profile", name: "", addresses: ["/dns4/one.example/tcp/1"], domain: "" } as const;
    const rest = { offeredBytes: 1, keptBytes: 0, readKey: Buffer.alloc(32), readGeneration: 1 };
    profile = { ...(profile ?? { ...first, ...rest }), ...changes };
    return profiles.hasMoved(site);
  };
  assert.equal(says({}), true);
  assert.equal(says({ keptBytes: 7, name: "School A" }), false);
  assert.equal(says({ addresses: ["/dns4/one.example/tcp/2"] }), true);
  assert.equal(says({ addresses: ["/dns4/one.example/tcp/2", "/dns4/one.example/tcp/3"] }), true);
  assert.equal(says({ keptBytes: 8 }), false);
});

test.run();
