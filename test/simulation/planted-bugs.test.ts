/**
 * Goal: the simulator finds what it is there for. Method: programs with one bug each, of kinds that have been written before; each
 * has to be found by its invariant within a few seeds, and its plan made small.
 */
import assert from "node:assert/strict";
import type { StoredPrime } from "#protocol/batch.ts";
import type { Transport } from "#node/federation/transport.ts";
import { CostorError } from "#protocol/errors.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { suite } from "#test/support/suite.ts";
import type { SimPlan } from "./fault-plan.ts";
import { type SimOutcome, simulate } from "./federation-sim.ts";
import { startLedgerProgram } from "./ledger-program.ts";
import { shrink } from "./shrink.ts";
import { makePlan } from "./sim-runs.ts";
import type { Machine, SiteProgram, StartProgram } from "./site-program.ts";
import type { SimSnapshot } from "./workload.ts";

const test = suite("planted bugs", { timeoutMs: 300_000 });
const SEEDS_COUNT = 12;
const idsOf = (primes: readonly StoredPrime[]) => primes.map(({ id }) => id);

/** The real program, with another way to keep a snapshot. */
const withCommit =
  (commit: (machine: Machine, snapshot: SimSnapshot, program: SiteProgram) => Promise<void>): StartProgram =>
  async (machine) => {
    const program = await startLedgerProgram(machine);
    return {
      ledger: program.ledger,
      control: program.control,
      signs: program.signs,
      digest: () => program.digest(),
      commit: (snapshot) => commit(machine, snapshot, program),
      expire: (...parameters) => program.expire(...parameters),
      safeSnapshots: () => program.safeSnapshots(),
      meet: (certificate) => program.meet(certificate),
      whyNotSettled: () => program.whyNotSettled(),
      stop: () => program.stop(),
    };
  };

function inventedPrime({ rng }: Machine): StoredPrime {
  const stored = rng.bytes(30);
  return { id: primeIdOf(stored), stored };
}

/** Peers to whom nothing comes. */
function deafPeers({ identity }: Machine): Transport {
  return {
    self: identity.peerKey,
    start: async () => {},
    setTopic: () => {},
    membershipChanged: () => {},
    addresses: () => [],
    onAddressesChanged: () => {},
    dialStranger: () => Promise.reject(new CostorError("peer-unreachable", "nobody is asked")),
    open: () => Promise.reject(new CostorError("peer-unreachable", "nobody is asked")),
    serve: () => {},
    connected: () => [],
    onConnected: () => {},
    publish: () => {},
    onPublished: () => {},
  };
}

const run = (plan: SimPlan, honest: StartProgram): Promise<SimOutcome> =>
  simulate(plan, { honest, hostile: () => honest });

async function findBug(honest: StartProgram): Promise<{ plan: SimPlan; outcome: SimOutcome }> {
  for (let seed = 1; seed <= SEEDS_COUNT; seed++) {
    const plan = makePlan({ seed, sitesCount: 4, hoursCount: 48, intensity: 3 });
    const outcome = await run(plan, honest);
    if (outcome.failure) return { plan, outcome };
  }
  throw new assert.AssertionError({ message: `not found by ${SEEDS_COUNT} seeds` });
}

const bugs: readonly (readonly [what: string, invariant: string, program: StartProgram])[] = [
  [
    "acknowledges before it is durable",
    "I1-stored",
    withCommit(async ({ store }, { agent, primes }) => void store.put(agent, primes).catch(() => {})),
  ],
  [
    "removes a prime that a snapshot reaches",
    "I1-stored",
    withCommit(async ({ store, rng }, snapshot, program) => {
      await program.commit(snapshot);
      if (rng.happens(0.1)) await store.remove([rng.pick(snapshot.primes).id]);
    }),
  ],
  [
    "ends keeping what a snapshot reaches",
    "I5-early",
    withCommit(async ({ store, rng, identity, clock }, snapshot, program) => {
      await program.commit(snapshot);
      void clock.sleep(3 * 3600_000).then(async () => {
        if (rng.happens(0.1)) await store.release(identity.siteId, idsOf(snapshot.primes).slice(0, 1)).catch(() => {});
      });
    }),
  ],
  [
    "keeps a prime that nobody sent",
    "I3-phantom",
    withCommit(async (machine, snapshot, program) => {
      await program.commit(snapshot);
      const other = { ...snapshot, primes: [inventedPrime(machine)] };
      await machine.store.put(other.agent, other.primes);
    }),
  ],
  [
    "forgets an entry of the ledger",
    "I9-monotonic",
    withCommit(async ({ store, rng }, snapshot, program) => {
      await program.commit(snapshot);
      if (!rng.happens(0.2)) return;
      const keys: string[] = [];
      for await (const { key } of store.facts("ledger", "entry/")) keys.push(key);
      if (keys.length > 0) await store.appendFacts([{ kind: "ledger", key: rng.pick(keys), value: undefined }]);
    }),
  ],
  [
    "gives out its entries before they are durable",
    "I3-ahead",
    async (machine) => {
      // A disk that says that it has written, and has not.
      const appendFacts = machine.store.appendFacts.bind(machine.store);
      machine.store.appendFacts = async (facts, cause) => void appendFacts(facts, cause).catch(() => {});
      return startLedgerProgram(machine);
    },
  ],
  [
    "hears nobody and asks nobody",
    "I6-convergence",
    (machine) => startLedgerProgram({ ...machine, makeTransport: () => deafPeers(machine) }),
  ],
  [
    "looks at the real clock",
    "unexpected",
    withCommit(async (_, snapshot, program) => {
      await program.commit(snapshot);
      Date.now();
    }),
  ],
  [
    "lets an error go unhandled",
    "unhandled-error",
    withCommit(async (machine, snapshot, program) => {
      await program.commit(snapshot);
      void machine.store.get(idsOf([inventedPrime(machine)])[0]!);
    }),
  ],
];

for (const [what, invariant, program] of bugs)
  test(`a site that ${what} is found`, async () => {
    const { outcome } = await findBug(program);
    assert.equal(outcome.failure!.id, invariant, outcome.failure!.message);
  });

test("a plan that fails is made small, and fails by the same invariant when it is repeated", async () => {
  const program = bugs[0]![2];
  const { plan, outcome } = await findBug(program);
  const smallest = await shrink(plan, outcome, (candidate) => run(candidate, program), 60);
  assert.ok(smallest.faults.length <= 1, `${smallest.faults.length} of ${plan.faults.length} faults are left`);
  const again = await run(smallest, program);
  assert.equal(again.failure?.id, outcome.failure!.id);
  assert.equal((await run(smallest, program)).hash, again.hash);
});

test("nothing is found of the program without a bug", async () => {
  await assert.rejects(findBug(startLedgerProgram), /not found/);
});

test.run();
