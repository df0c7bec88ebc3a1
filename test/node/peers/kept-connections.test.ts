/** Which members are dialled, and how the pauses grow: by a transport that is made up. */
import assert from "node:assert/strict";
import { KeptConnections } from "#node/peers/kept-connections.ts";
import { peerLimits } from "#node/peers/peer-limits.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("kept connections");
const peers = (count: number): PeerKey[] => Array.from({ length: count }, (_, index) => `peer ${index}` as PeerKey);

/** Counts dials; those of `failing` fail. */
function made(members: readonly PeerKey[], keptCount: number, failing = false) {
  const state = { members, addresses: "", dialled: [] as PeerKey[], connected: new Set<PeerKey>() };
  const kept = new KeptConnections(
    {
      members: () => state.members,
      addressesOf: () => [state.addresses],
      isConnected: (peer) => state.connected.has(peer),
      dial: async (peer) => {
        state.dialled.push(peer);
        if (failing) throw new Error("not reached");
        state.connected.add(peer);
      },
    },
    { limits: peerLimits({ peerKeptCount: keptCount, peerRedialMinMs: 60_000, peerRedialMaxMs: 120_000 }) },
  );
  return { state, kept };
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("all of a few members are dialled, and so many of many", async () => {
  for (const [membersCount, dialledCount] of [
    [3, 3],
    [12, 12],
    [200, 12],
  ] as const) {
    const { state, kept } = made(peers(membersCount), 12);
    kept.start();
    await settled();
    kept.stop();
    assert.equal(new Set(state.dialled).size, dialledCount);
    assert.equal(state.dialled.length, dialledCount);
  }
});

test("of many members it is not always the same that are dialled", async () => {
  const dialled = new Set<PeerKey>();
  for (let round = 0; round < 20; round++) {
    const { state, kept } = made(peers(100), 4);
    kept.start();
    await settled();
    kept.stop();
    state.dialled.forEach((peer) => dialled.add(peer));
  }
  assert.ok(dialled.size > 8, `${dialled.size} of 100 in 20 rounds`);
});

test("who is not reached is left alone for a while, unless it has another address or is seen", async () => {
  const { state, kept } = made(peers(1), 12, true);
  kept.start();
  await settled();
  kept.membersChanged();
  await settled();
  assert.equal(state.dialled.length, 1);
  state.addresses = "elsewhere";
  kept.membersChanged();
  await settled();
  assert.equal(state.dialled.length, 2);
  kept.seen(state.members[0]!);
  await settled();
  assert.equal(state.dialled.length, 3);
  kept.stop();
});

test("another member takes the place of one that has left", async () => {
  const { state, kept } = made(peers(4), 2);
  kept.start();
  await settled();
  const [first, second] = state.dialled;
  state.members = state.members.filter((peer) => peer !== first);
  kept.membersChanged();
  await settled();
  assert.equal(state.dialled.length, 3);
  assert.ok(state.dialled[2] !== first && state.dialled[2] !== second);
  kept.stop();
});

/** Those of whom `isUp` holds are reached; after so many failures of each one that is dialled. */
async function untilTired(count: number, isUp: (peer: PeerKey) => boolean) {
  const all = peers(count);
  const connected = new Set<PeerKey>();
  const dialled = new Set<PeerKey>();
  const kept = new KeptConnections(
    {
      members: () => all,
      addressesOf: () => [],
      isConnected: (peer) => connected.has(peer),
      dial: async (peer) => {
        dialled.add(peer);
        if (!isUp(peer)) throw new Error("not reached");
        connected.add(peer);
      },
    },
    { limits: peerLimits({ peerKeptCount: 12, peerRedialMinMs: 60_000, peerRedialMaxMs: 120_000 }) },
  );
  kept.start();
  for (let round = 0; round < 200; round++) {
    for (const peer of dialled) kept.seen(peer);
    await settled();
  }
  kept.stop();
  return { connected, dialled };
}

test("who reaches next to none of those that it keeps to tries others, and no more of them than it needs", async () => {
  const up = (peer: PeerKey): boolean => Number(peer.slice("peer ".length)) >= 96;
  const { connected } = await untilTired(100, up);
  assert.ok(connected.size >= 3 && connected.size <= 4, `${connected.size} of 4`);
});

test("who reaches a part of those that it keeps to goes on with all of them: a cut ends one day", async () => {
  let count = 0;
  const reached = new Map<PeerKey, boolean>();
  const everySecond = (peer: PeerKey): boolean => {
    if (!reached.has(peer)) reached.set(peer, count++ % 2 === 0);
    return reached.get(peer)!;
  };
  const { connected, dialled } = await untilTired(100, everySecond);
  assert.deepEqual([connected.size, dialled.size], [6, 12]);
});

test.run();
