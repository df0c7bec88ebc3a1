/** Goal: a site is silent only while others are heard, and that lasts over restarts and jumps of the clock. Method: a virtual clock and connections by hand. */
import assert from "node:assert/strict";
import { Silence } from "#node/replication/silence.ts";
import type { Channel } from "#ledger/peers.ts";
import { CostorError } from "#protocol/errors.ts";
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
  const state = {
    connected: [] as SiteId[],
    known: [a, b] as SiteId[],
    dead: [] as SiteId[],
    partners: [] as SiteId[],
    opened: [] as PeerKey[],
  };
  const open = () =>
    Silence.open({
      clock,
      store,
      partners: async () => new Set(state.partners),
      peers: {
        connected: () => state.connected.map(peerOf),
        open: async (peer) => {
          state.opened.push(peer);
          if (state.dead.some((site) => peerOf(site) === peer)) throw new CostorError("peer-unreachable", "dead");
          return { close: async () => {} } as Channel;
        },
      },
      sites: {
        sites: () => state.known,
        siteOfPeer: (peer) => state.known.find((site) => peerOf(site) === peer),
        peerOf,
      },
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

test("of many sites only those that were looked for in vain are silent, until they answer", async () => {
  const { clock, state, silence } = await setUp();
  const { signal } = new AbortController();
  state.known = Array.from({ length: 60 }, (_, at) => sampleSiteId(`${at}`));
  state.connected = state.known.slice(0, 12);
  const [dead, alive] = [state.known[30]!, state.known[40]!];
  state.dead = [dead];
  const HOUR_MS = 3_600_000;
  const turns = async (count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn++) {
      clock.pass(HOUR_MS / 4);
      silence.count();
      await silence.lookFor(signal);
    }
  };
  await turns(24 * 4);
  assert.equal(silence.of(alive), 0);
  assert.ok(silence.of(dead) > 22 * HOUR_MS, `${silence.of(dead) / HOUR_MS} h`);
  state.dead = [];
  await turns(5);
  assert.equal(silence.of(dead), 0);
});

test("of many sites, too, it goes on after a restart, and ends when the site is found", async () => {
  const { clock, state, silence, open } = await setUp();
  state.known = Array.from({ length: 60 }, (_, at) => sampleSiteId(`${at}`));
  state.connected = state.known.slice(0, 12);
  const dead = state.known[30]!;
  state.dead = state.partners = [dead];
  const HOUR_MS = 3_600_000;
  const turns = async (each: Silence, count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn++) {
      clock.pass(HOUR_MS / 4);
      each.count();
      await each.lookFor(new AbortController().signal);
      await each.keep();
    }
  };
  await turns(silence, 10 * 4);
  for (let start = 0; start < 8; start++) await turns(await open(), 10 * 4);
  const again = await open();
  assert.ok(again.of(dead) > 85 * HOUR_MS, `${again.of(dead) / HOUR_MS} h`);
  state.dead = [];
  await turns(again, 2);
  assert.equal(again.of(dead), 0);
});

test("of hundreds of sites partners are looked for each hour, and others once a day", async () => {
  const { clock, state, silence } = await setUp();
  state.known = Array.from({ length: 500 }, (_, at) => sampleSiteId(`${at}`));
  state.connected = state.known.slice(0, 12);
  state.partners = state.known.slice(8, 28);
  for (let turn = 0; turn < 3 * 24 * 4; turn++) {
    clock.pass(900_000);
    await silence.lookFor(new AbortController().signal);
    if (turn === 24 * 4) state.opened = [];
  }
  const countOf = (site: SiteId): number => state.opened.filter((peer) => peer === peerOf(site)).length;
  assert.equal(countOf(state.known[8]!), 0);
  for (const partner of state.known.slice(12, 28)) assert.ok(countOf(partner) >= 46, `${countOf(partner)}`);
  for (const other of state.known.slice(28)) assert.ok(countOf(other) >= 1 && countOf(other) <= 2);
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
