/** Goal: nobody keeps an owner for ever. Method: an owner's run over a channel whose other end takes all and says nothing. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import { safeSnapshotsOf } from "#ledger/copies.ts";
import { OwnerRun } from "#node/replication/owner-run.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation } from "./replicating-site.ts";
import { federationOf, safety, statesOf, tableOf } from "./site-program.ts";

const test = suite("stalled run");
const MINUTE_MS = 60_000;

test("a run in which nothing moves for half an hour has ended, and one that goes on has not", async () => {
  const all = new ReplicatingFederation();
  const [owner, holder] = [await all.add("owner"), await all.add("holder")];
  await owner.backUp("first", 20);
  const slices = await owner.slicesFor([holder]);
  const clock = new ManualClock();
  const [channel] = channelPair(replicateProtocol).channels;
  const limit = new BandwidthLimit({ clock }, { bytesPerSecond: () => undefined });
  const { ledger, store, siteId } = owner;
  const run = new OwnerRun(
    { clock, channel, ledger, store, limit, rng: new SeededRng("stalled") },
    { owner: siteId, holder: holder.siteId },
  );
  let ended = false;
  const ending = run.run(slices).finally(() => (ended = true));
  ending.catch(() => {});
  const pass = async (minutes: number): Promise<void> => {
    await setImmediate();
    clock.pass(minutes * MINUTE_MS);
    for (let turn = 0; turn < 5; turn++) await setImmediate();
  };
  await pass(29);
  await pass(2);
  assert.equal(ended, false);
  await pass(31);
  await assert.rejects(ending, (error) => isCostorError(error, "peer-unreachable"));
});

test("a turn with a holder that is slow ends within hours, and goes on where it was in the next one", async () => {
  const { owner, holders, program } = await federationOf("slow", "fast");
  const ids = await owner.backUp("first", 200);
  const open = owner.peers.open.bind(owner.peers);
  owner.peers.open = async (peer, protocol, signal) => {
    const channel = await open(peer, protocol, signal);
    if (peer !== holders[0]!.peerKey || protocol !== replicateProtocol) return channel;
    return {
      peer: channel.peer,
      send: (frame) => channel.send(frame),
      receive: (until) => {
        owner.clock.pass(20 * MINUTE_MS);
        return channel.receive(until);
      },
      close: () => channel.close(),
      abort: () => channel.abort(),
    };
  };
  let longestMinutes = 0;
  let turnsCount = 0;
  for (let goesOn = true; goesOn && turnsCount < 100; turnsCount++) {
    const beganMs = owner.clock.elapsedMs();
    goesOn = await program.turn();
    longestMinutes = Math.max(longestMinutes, (owner.clock.elapsedMs() - beganMs) / MINUTE_MS);
  }
  assert.ok(turnsCount > 3 && longestMinutes <= 3 * 60, `${turnsCount} turns, ${longestMinutes} minutes`);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
  assert.deepEqual(await holders[0]!.keptFor(owner.siteId), ids);
});

test("a holder that is reached and of whose runs nothing comes for three days is replaced", async () => {
  const { owner, holders, program } = await federationOf("ill", "b", "c");
  await owner.backUp("first", 100);
  const [ill] = holders;
  ill!.kept.put = async () => {
    throw new CostorError("store-failed", "for a test");
  };
  const isPlaced = (): boolean => tableOf(program).flat().includes(ill!.siteId);
  const pass = async (hours: number): Promise<void> => {
    for (let hour = 0; hour < hours; hour++) {
      await program.turn();
      owner.clock.pass(60 * MINUTE_MS);
    }
  };
  await pass(3 * 24 - 1);
  assert.ok(isPlaced());
  await pass(4);
  assert.ok(!isPlaced());
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test.run();
