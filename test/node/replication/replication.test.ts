/**
 * Goal: what a holder has given a receipt for is durable there, whole and as it was; a run that is cut anywhere goes on where it was;
 * and nobody gets a holder to keep what it should not. Method: several sites over a network in memory, cut at every
 * frame; forged frames.
 */
import assert from "node:assert/strict";
import type { Channel } from "#ledger/peers.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import { isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";
import { wholeFrame } from "#test/support/whole-frame.ts";
import { cutAt } from "./cutting-channel.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";

/** When everything that follows in memory has followed. */
const settled = () => new Promise((resolve) => void setImmediate(resolve));

const test = suite("replication");

async function federation(...names: string[]) {
  const all = new ReplicatingFederation();
  const sites: ReplicatingSite[] = [];
  for (const name of names) sites.push(await all.add(name));
  return { all, sites: sites as [ReplicatingSite, ReplicatingSite, ReplicatingSite, ReplicatingSite, ReplicatingSite] };
}

test("two owners replicate to three holders, and each has exactly what it was sent", async () => {
  const { sites } = await federation("owner-1", "owner-2", "a", "b", "c");
  const [one, two, ...holders] = sites;
  for (const owner of [one, two]) {
    const ids = await owner.backUp("first", 200);
    const slices = await owner.slicesFor(holders);
    await Promise.all(
      holders.map(async (holder) => {
        const reports = await owner.replicate(holder, slices);
        assert.ok(reports.every(({ end }) => end === "received"));
        assert.deepEqual(await holder.keptFor(owner.siteId), ids);
        for (const { slice, hash } of slices) {
          assert.equal(holder.receiptFor(owner.siteId, slice)?.statement.hash, hash);
          const known = owner.ledger.statement(holder.siteId, "receipt", `${owner.siteId}/${slice}`);
          assert.equal(known?.statement.hash, hash);
        }
        for (const id of ids) assert.deepEqual(await holder.store.get(id), await owner.store.get(id));
      }),
    );
  }
});

test("what is left out is noted, and what comes again is noted no more", async () => {
  const { sites } = await federation("owner", "a");
  const [owner, holder] = sites;
  const ids = await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const gone = ids.filter((_, at) => at % 5 === 0);
  await owner.expire(gone);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const noted = async () => {
    const notes = await Array.fromAsync(holder.omissions.notes(owner.siteId));
    return notes.flatMap((note) => note.ids ?? []).toSorted();
  };
  assert.deepEqual(await noted(), gone);
  assert.deepEqual(await holder.keptFor(owner.siteId), ids, "it is kept all the same");
  await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  assert.deepEqual(await noted(), []);
});

test("a run that is cut at any frame loses nothing, and the next one sends only what was not kept", async () => {
  for (let cut = 0; ; cut++) {
    const { sites } = await federation(`owner ${cut}`, `holder ${cut}`);
    const [owner, holder] = sites;
    const ids = await owner.backUp("first", 60);
    const slices = await owner.slicesFor([holder], [0, 1, 2]);
    const wanted = ids.filter((id) => "012".includes(id.charAt(0)));
    const counts = { frames: 0 };
    const channel = cutAt(await owner.peers.open(holder.peerKey, replicateProtocol), cut, counts);
    const isWhole = await owner.runOver(channel, holder.siteId, slices).then(
      () => true,
      (error: unknown) => {
        assert.ok(isCostorError(error, "peer-unreachable"), String(error));
        return false;
      },
    );
    await settled();
    const kept = await holder.keptFor(owner.siteId);
    assert.ok(kept.every((id) => wanted.includes(id)));
    const sent: number[] = [];
    const before = holder.kept.put.bind(holder.kept);
    holder.kept.put = async (of, batch) => {
      const stored = await before(of, batch);
      sent.push(stored.storedCount);
      return stored;
    };
    const reports = await owner.replicate(holder, slices);
    assert.ok(reports.every(({ end }) => end === "received"));
    assert.equal(
      sent.reduce((sum, count) => sum + count, 0),
      wanted.length - kept.length,
      `cut at frame ${cut}`,
    );
    assert.deepEqual(await holder.keptFor(owner.siteId), wanted);
    if (isWhole) {
      assert.ok(cut > 20, "there were many frames to cut at");
      return;
    }
  }
});

test("what is under way is bounded, and goes on over many batches", async () => {
  const { sites } = await federation("owner", "a");
  const [owner, holder] = sites;
  const ids = await owner.backUp("large", 40, 4 * 1024 * 1024);
  let [sentBytes, keptBytes, most] = [0, 0, 0];
  const channel = await owner.peers.open(holder.peerKey, replicateProtocol);
  const watched: Channel = {
    peer: channel.peer,
    send: async (sent) => {
      const frame = wholeFrame(sent);
      if (frame[0] === 0xff) most = Math.max(most, (sentBytes += frame.length) - keptBytes);
      await channel.send(frame);
    },
    receive: (signal) => channel.receive(signal),
    close: () => channel.close(),
    abort: () => channel.abort(),
  };
  await owner.runOver(watched, holder.siteId, await owner.slicesFor([holder]), {
    onProgress: (progress) => void (keptBytes = progress.keptBytes),
  });
  assert.deepEqual(await holder.keptFor(owner.siteId), ids);
  assert.ok(most <= limits.replicateUnderWayBytes, `${most} bytes were under way`);
});

test("a run ends before the next batch when its window closes, and another one goes on", async () => {
  const { sites } = await federation("owner", "a");
  const [owner, holder] = sites;
  await owner.backUp("large", 30, 3 * 1024 * 1024);
  const slices = await owner.slicesFor([holder]);
  let mayGoOn = true;
  const reports = await owner.replicate(holder, slices, {
    mayGoOn: () => mayGoOn,
    onProgress: () => void (mayGoOn = false),
  });
  assert.equal(reports.at(-1)?.end, "paused");
  const keptCount = (await holder.keptFor(owner.siteId)).length;
  assert.ok(keptCount > 0 && keptCount < 30);
  await owner.replicate(holder, slices);
  assert.equal((await holder.keptFor(owner.siteId)).length, 30);
});

test("a signal ends a run at once", async () => {
  const { sites } = await federation("owner", "a");
  const [owner, holder] = sites;
  await owner.backUp("first", 30);
  const end = new AbortController();
  const run = owner.replicate(holder, await owner.slicesFor([holder]), {
    signal: end.signal,
    onProgress: () => end.abort(new Error("stop")),
  });
  await assert.rejects(run, /stop/);
});

test("what cannot be read here is told, and no receipt is given for the slice", async () => {
  const { sites } = await federation("owner", "a");
  const [owner, holder] = sites;
  const ids = await owner.backUp("first", 50);
  const slices = await owner.slicesFor([holder]);
  owner.store.lose(ids[0]!);
  const reports = await owner.replicate(holder, slices);
  const slice = Number.parseInt(ids[0]!.charAt(0), 16);
  assert.deepEqual(reports[slice], { slice, end: "lacking", lacking: [ids[0]!] });
  assert.equal(holder.receiptFor(owner.siteId, slice), undefined);
});

test.run();
