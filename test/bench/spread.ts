/**
 * The scenario `spread`: how long a new entry of the ledger takes to be in the ledgers of all sites. Whole federations of sites, each with
 * its own libp2p on loopback and its own ledger, all in this process: what fifty machines do side by side, one thread does here in turn.
 */
import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { Libp2pPeers } from "#node/peers/libp2p-peers.ts";
import { systemClock } from "#node/site/system-clock.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { FederationSite, membersOf } from "#test/node/federation/federation-site.ts";
import { waitUntil } from "./patience.ts";

const SITES_COUNT = 50;
const SMALL_SITES_COUNT = 5;
const ENTRIES_COUNT = 40;
/** From so many connections on gossip has all the neighbours that it wants. */
const LINKS_COUNT = 12;
/** Gossip finds its neighbours in beats of a second. */
const SETTLE_MS = 15_000;
const BETWEEN_MS = 500;
/** Of gossip alone; what is later comes by comparing ledgers. */
const PATIENCE_MS = 10_000;

export async function benchSpread({ isSmall }: { readonly isSmall: boolean }): Promise<void> {
  const sitesCount = isSmall ? SMALL_SITES_COUNT : SITES_COUNT;
  await using stack = new AsyncDisposableStack();
  const sites = await startSites(sitesCount, stack);
  const leastCount = Math.min(LINKS_COUNT, sitesCount - 1);
  await waitUntil("all sites to be ready and connected", async () =>
    sites.every(
      ({ federation: { parts } }) => parts.ownLog.isReady && parts.transport.connected().length >= leastCount,
    ),
  );
  await sleep(SETTLE_MS);
  const [each, last]: [number[], number[]] = [[], []];
  let lostCount = 0;
  for (let number = 0; number < ENTRIES_COUNT; number++) {
    const arrivalsMs = await spreadOne(sites, number);
    lostCount += sitesCount - 1 - arrivalsMs.length;
    each.push(...arrivalsMs);
    last.push(Math.max(...arrivalsMs));
    await sleep(BETWEEN_MS);
  }
  console.log(
    `\nspread: ${ENTRIES_COUNT} entries to ${sitesCount - 1} other sites, load ${loadavg()[0]!.toFixed(1)}\n`,
  );
  console.log("| ms until an entry is | p50 | p99 | most |");
  console.log("|---|---|---|---|");
  for (const [what, values] of [
    ["at one other site", each],
    ["at all", last],
  ] as const)
    console.log(`| ${what} | ${[0.5, 0.99, 1].map((share) => quantile(values, share).toFixed(0)).join(" | ")} |`);
  console.log(`\nNot there within ${PATIENCE_MS / 1000} s: ${lostCount} of ${each.length + lostCount}`);
}

async function startSites(count: number, stack: AsyncDisposableStack): Promise<FederationSite[]> {
  const members = membersOf(count);
  const addresses = new Map<PeerKey, readonly string[]>();
  const log = { info: (): void => {}, warn: (): void => {} };
  const sites: FederationSite[] = [];
  for (const identity of members) {
    const site = await FederationSite.open({
      ...{ identity, members, clock: systemClock },
      makeTransport: async (doorkeeper) => {
        const peers = await Libp2pPeers.create(
          { ...doorkeeper, log, addressesOf: (peer) => addresses.get(peer) ?? [] },
          {
            ...{ peerSeed: identity.peerSeed, listen: ["/ip4/127.0.0.1/tcp/0"], mdns: false },
            // All of them come from one address here.
            limits: { peerConnectionsPerAddressPerSecondCount: 1000, peerConnectionsPendingPerAddressCount: 64 },
          },
        );
        stack.use(peers);
        return peers;
      },
    });
    await site.start();
    stack.defer(() => site.stop());
    addresses.set(identity.peerKey, site.federation.parts.transport.addresses());
    sites.push(site);
  }
  for (const { federation } of sites) federation.parts.transport.membershipChanged();
  return sites;
}

/** When it was in each of the other ledgers, from when its author began to write it. */
async function spreadOne(sites: readonly FederationSite[], number: number): Promise<number[]> {
  const author = sites[number % sites.length]!;
  const { siteId } = author.identity;
  const arrivalsMs: number[] = [];
  const wanted = Promise.withResolvers<void>();
  const name = `name ${number}`;
  const arrived = new Set<FederationSite>([author]);
  const look = (site: FederationSite): void => {
    if (arrived.has(site)) return;
    if (profileName(site.federation.parts.ledger.statement(siteId, "profile", "")) !== name) return;
    arrived.add(site);
    arrivalsMs.push(performance.now() - startedMs);
    if (arrived.size === sites.length) wanted.resolve();
  };
  for (const site of sites)
    site.federation.parts.ledger.onAdmitted((admitted) => {
      if (admitted.siteId === siteId) look(site);
    });
  // What makes it durable here counts too.
  const startedMs = performance.now();
  await author.federation.parts.entries.write({
    ...{ kind: "profile", name, addresses: [], domain: "", offeredBytes: 0, keptBytes: 0 },
    ...{ readKey: Buffer.alloc(32, 1), readGeneration: 1 },
  });
  await Promise.race([wanted.promise, sleep(PATIENCE_MS)]);
  return arrivalsMs;
}

const profileName = (held: { readonly statement: { readonly name: string } } | undefined): string | undefined =>
  held?.statement.name;

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
