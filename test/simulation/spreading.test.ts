/**
 * Goal: what a site says is known to fifty others within a second, and when nothing spreads it after a number of rounds of comparing that grows
 * as the logarithm of theirs. Method: ledgers in virtual time on links of 50 ms, where what is published takes up to three of them, or is lost;
 * disks that take no time.
 */
import assert from "node:assert/strict";
import { limits } from "#protocol/limits.ts";
import { makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { makeGenesis } from "./genesis.ts";
import { startLedgerProgram } from "./ledger-program.ts";
import { RememberedCrypto } from "./remembered-crypto.ts";
import { SeededRng } from "./seeded-rng.ts";
import { SimNetwork } from "./sim-network.ts";
import { SimSite } from "./sim-site.ts";
import { VirtualTime } from "./virtual-time.ts";

const test = suite("spreading", { timeoutMs: 120_000 });

interface Spreading {
  readonly sites: readonly SimSite[];
  readonly network: SimNetwork;
  readonly faults: readonly unknown[];
  /** Has a site say something, and resolves with how long it took until all knew it, or `mostMs`. */
  readonly sayAt: (site: SimSite, mostMs: number) => Promise<number>;
}

async function startFifty(): Promise<Spreading> {
  const time = new VirtualTime();
  const rng = new SeededRng("spreading");
  const network = new SimNetwork(
    { clock: time.clock, rng: rng.fork("network") },
    { redialMs: limits.peerRedialMaxMs, degreeCount: limits.peerKeptCount },
  );
  network.line = { ...network.line, latencyMs: 50, jitterMs: 1 };
  const faults: unknown[] = [];
  const sites = Array.from({ length: 50 }, (_, number) => {
    const parts = { time, network, rng: rng.fork(`site ${number}`), startProgram: startLedgerProgram };
    const nothing = (): undefined => undefined;
    const told = { others: () => [], onStarting: nothing, onHearing: nothing, onStarted: nothing, onKept: nothing };
    return new SimSite(
      { ...parts, ...told, onFault: (error) => void faults.push(error) },
      { number, seed: 1, place: "", disk: {} },
    );
  });
  const genesis = makeGenesis(
    rng.fork("genesis"),
    sites.map(({ identity }) => identity),
  );
  for (const site of sites) site.genesis = genesis;
  await Promise.all(sites.map((site) => site.start()));
  await time.run(3600_000);
  const id = makeUuidV7(1, (bytes) => bytes.set(rng.bytes(16)));
  const sayAt = async (site: SimSite, mostMs: number): Promise<number> => {
    const before = time.elapsedMs;
    const digests = (): Set<string> => new Set(sites.map(({ program }) => program!.digest()));
    const [former] = digests();
    void site.program!.commit({ id: parseSnapshotId(id), agent: parseAgentId(id), primes: [] });
    const isEverywhere = (): boolean => !digests().has(former!) && digests().size === 1;
    while (!isEverywhere() && time.elapsedMs < before + mostMs) await time.run(time.elapsedMs + mostMs / 100);
    return isEverywhere() ? time.elapsedMs - before : Infinity;
  };
  return { sites, network, faults, sayAt };
}

test("a new entry reaches fifty sites within a second", async () => {
  using remembered = new RememberedCrypto();
  void remembered;
  const { sites, faults, sayAt } = await startFifty();
  for (const site of [sites[0]!, sites[7]!, sites[49]!]) {
    const tookMs = await sayAt(site, 1000);
    assert.ok(tookMs <= 1000, `it took ${tookMs} ms`);
  }
  assert.deepEqual(faults, []);
});

test("what is not spread at all reaches fifty sites by comparing, in some more rounds than the logarithm of their number", async () => {
  using remembered = new RememberedCrypto();
  void remembered;
  const { sites, network, faults, sayAt } = await startFifty();
  network.line = { ...network.line, gossipLossRatio: 1 };
  const tookMs = await sayAt(sites[0]!, 24 * 3600_000);
  const roundsCount = tookMs / (15 * 60_000);
  // Six doublings, and some rounds for the last ones; those that lie far apart in time are of more than average length.
  assert.ok(roundsCount > 1 && roundsCount <= 12, `it took ${roundsCount} rounds`);
  assert.deepEqual(faults, []);
});

test.run();
