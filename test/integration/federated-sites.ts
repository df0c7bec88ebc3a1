/** Sites as processes that are members of one federation, and waiting for what they come to. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { LOCK_MS } from "#ledger/drop-plan.ts";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import type { FederationStatus } from "#node/federation/federation-status.ts";
import type { DemoSite } from "#test/demo/demo-site.ts";
import { bringIn, vote } from "#test/demo/joining.ts";

const MOST_MS = 180_000;
const SEND_EVERY_MS = 2_000;

/** An error counts as not yet; the last one is told when it does not come about. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + MOST_MS;
  let last: unknown;
  const isSoNow = (): Promise<boolean> =>
    isSo().catch((error: unknown) => {
      last = error;
      return false;
    });
  while (!(await isSoNow())) {
    assert.ok(performance.now() < deadlineMs, `in vain: ${what}: ${last}`);
    await delay(300);
  }
}

export const statusOf = (site: DemoSite): Promise<FederationStatus> => site.call("federationStatus", {});

/** It has so many snapshots, or more, and all of them are safe. */
export async function untilSafe(site: DemoSite, leastCount = 1): Promise<void> {
  let sentMs = Number.NEGATIVE_INFINITY;
  await until(`the snapshots of ${site.name} are safe`, async () => {
    const { snapshots } = await statusOf(site);
    if (snapshots.storedCount >= leastCount && snapshots.safeCount === snapshots.storedCount) return true;
    if (performance.now() - sentMs < SEND_EVERY_MS) return false;
    sentMs = performance.now();
    await site.call("federationSend", {});
    return false;
  });
}

/** Starts those that do not run; the first makes the federation, and each other one becomes a member. */
export async function federate(sites: readonly DemoSite[]): Promise<void> {
  await Promise.all(sites.filter((site) => !site.isRunning).map((site) => site.start()));
  const [founder, ...others] = sites;
  await founder!.command(["federation", "create", "--name", "Valley"]);
  for (const [index, site] of others.entries()) {
    await bringIn(site, founder!);
    const members = sites.slice(0, index + 1);
    await until(`members know ${site.name}`, async () =>
      (await Promise.all(members.map((member) => member.call("federationMembers", {})))).every((list) =>
        list.members.some(({ name }) => name === site.name),
      ),
    );
    await vote("admit", site.name, members);
    await until(`${site.name} is a member`, async () => {
      const counts = (await Promise.all([...members, site].map(statusOf))).map(({ membersCount }) => membersCount);
      assert.deepEqual(counts, Array(index + 2).fill(index + 2));
      return true;
    });
  }
}

/** All of them have run for so long, the lock period unless it is said, by the clock that each keeps: they restart. */
export async function pass(sites: readonly DemoSite[], ms = LOCK_MS): Promise<void> {
  await Promise.all(sites.map((site) => site.stop()));
  for (const site of sites) {
    await using store = await site.openStore();
    const kept = await store.fact("clock", "held");
    // Before a site has noted it, its clock has begun just now.
    const begun = { heldMs: 0, wallMs: Date.now(), isSuspect: false };
    const noted = kept === undefined ? begun : { ...(decodeCbor(kept) as unknown as typeof begun) };
    const value = encodeCbor({ ...noted, heldMs: noted.heldMs + ms });
    await store.appendFacts([{ kind: "clock", key: "held", value }]);
  }
  await Promise.all(sites.map((site) => site.start()));
}
