/** Goal: a site is silent only while others are heard, and that lasts over restarts and jumps of the clock. Method: a virtual clock and connections by hand. */
import assert from "node:assert/strict";
import { Silence } from "#node/replication/silence.ts";
import { type PeerKey, type SiteId, parsePeerKey } from "#protocol/ids.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";
import { TestClock } from "./test-clock.ts";

const test = suite("silence");

const [a, b] = [sampleSiteId("a"), sampleSiteId("b")];
/** A machine's key is as its site's id here. */
const peerOf = (site: SiteId): PeerKey => parsePeerKey(site);

async function setUp() {
  const [clock, store] = [new TestClock(), createMemoryStore()];
  const state = { connected: [] as SiteId[], known: [a, b] as SiteId[] };
  const open = () =>
    Silence.open({
      clock,
      store,
      peers: { connected: () => state.connected.map(peerOf) },
      sites: { sites: () => state.known, siteOfPeer: (peer) => state.known.find((site) => peerOf(site) === peer) },
    });
  return { clock, state, open, silence: await open() };
}

test("who is not heard while another one is grows silent, and is so no more once it is heard", async () => {
  const { clock, state, silence } = await setUp();
  state.connected = [a];
  clock.pass(1000);
  silence.count();
  assert.deepEqual([silence.of(a), silence.of(b)], [0, 1000]);
  state.connected = [a, b];
  clock.pass(1000);
  silence.count();
  assert.equal(silence.of(b), 0);
});

test("a site without a line of its own blames nobody", async () => {
  const { clock, state, silence } = await setUp();
  clock.pass(1_000_000);
  silence.count();
  state.connected = [sampleSiteId("stranger")];
  clock.pass(1_000_000);
  silence.count();
  assert.deepEqual([silence.of(a), silence.of(b)], [0, 0]);
});

test("it goes on after a restart, whatever the machine's clock says by then", async () => {
  const { clock, state, silence, open } = await setUp();
  state.connected = [a];
  clock.pass(5000);
  silence.count();
  await silence.keep();
  clock.wallMs += 1e12;
  clock.passedMs = 3;
  const again = await open();
  assert.equal(again.of(b), 5000);
  clock.pass(10);
  again.count();
  assert.equal(again.of(b), 5010);
});

test("one that left is forgotten", async () => {
  const { clock, state, silence } = await setUp();
  state.connected = [a];
  clock.pass(5000);
  silence.count();
  state.known = [a];
  silence.count();
  assert.equal(silence.of(b), 0);
});

test.run();
