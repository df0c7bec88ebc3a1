/**
 * Goal: what a site says is known to fifty others within a second. Method: ledgers in virtual time on links of 50 ms, where what is
 * published takes up to three of them; disks that take no time.
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

test("a new entry reaches fifty sites within a second", async () => {
  using remembered = new RememberedCrypto();
  void remembered;
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
    const told = { onStarting: nothing, onHearing: nothing, onStarted: nothing };
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
  for (const site of [sites[0]!, sites[7]!, sites[49]!]) {
    const before = time.elapsedMs;
    const digests = (): Set<string> => new Set(sites.map(({ program }) => program!.digest()));
    const [former] = digests();
    void site.program!.commit({ id: parseSnapshotId(id), agent: parseAgentId(id), primes: [] });
    const isEverywhere = (): boolean => !digests().has(former!) && digests().size === 1;
    while (!isEverywhere() && time.elapsedMs < before + 60_000) await time.run(time.elapsedMs + 10);
    assert.ok(isEverywhere() && time.elapsedMs - before <= 1000, `it took ${time.elapsedMs - before} ms`);
  }
  assert.deepEqual(faults, []);
});

test.run();
