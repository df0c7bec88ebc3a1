/** Goal: what another site can make happen again and again fills no log. */
import assert from "node:assert/strict";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import { FederationLog } from "#node/cli/federation-log.ts";
import { CostorError } from "#protocol/errors.ts";
import { type PeerKey, parsePeerKey } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("federation log");
const peer: PeerKey = parsePeerKey("ab".repeat(32));
const misbehaved = (text: string) => new CostorError("peer-misbehaved", text);

function told(events: readonly FederationEvent[]): string[] {
  const lines: string[] = [];
  const add = (_: unknown, message: string): void => void lines.push(message);
  const log = new FederationLog({ log: { debug: () => {}, info: () => {}, warn: add, error: add } as never });
  for (const event of events) log.tell(event);
  return lines;
}

const repeatable: Record<string, FederationEvent> = {
  "a message that no member writes": { event: "message-refused", error: misbehaved("no CBOR") },
  "a peer that is left for a round": { event: "sync-failed", peer, error: misbehaved("out of order") },
  "a site that says too much": { event: "site-full", siteId: sampleSiteId("full") },
  "a request that is refused": { event: "refused", peer, protocol: "/costor/audit/1", error: misbehaved("not yours") },
};
for (const [title, event] of Object.entries(repeatable))
  test(`${title} is told once`, () => {
    assert.equal(told(Array<FederationEvent>(1000).fill(event)).length, 1);
  });

test("whatever is different each time is told so often in a minute, and then counted", () => {
  const events = Array.from({ length: 1000 }, (_, at) => ({
    ...{ event: "message-refused" as const, error: misbehaved(`byte ${at}`) },
  }));
  assert.equal(told(events).length, limits.peerRefusalsLoggedPerMinuteCount);
});

test("a peer that is not reached is no line of the log", () => {
  const error = new CostorError("peer-unreachable", "gone");
  assert.deepEqual(told([{ event: "sync-failed", peer, error }]), []);
});

test.run();
