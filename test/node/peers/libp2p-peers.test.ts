/** The site's transport keeps the contract of `Peers`, over real sockets on the loopback interface. */
import { testPeers as testContract } from "#test/conformance/peers.ts";
import { startTestPeers, testMachine, TestMembership, testPeers } from "#test/support/libp2p-peers.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("libp2p peers", { timeoutMs: 30_000 });

testContract(test, async (count) => {
  const membership = new TestMembership();
  const machines = Array.from({ length: count }, () => testMachine());
  machines.forEach(({ key }) => membership.members.add(key));
  // Nobody dials but a test that opens.
  const limits = { peerKeptCount: 0 };
  const made = await Promise.all(machines.map((machine) => testPeers(membership, machine, { limits })));
  return {
    peers: made.map(({ peers }) => peers),
    start: async () => void (await Promise.all(made.map(startTestPeers))),
    dispose: async () => void (await Promise.all(made.map(({ peers }) => peers[Symbol.asyncDispose]()))),
  };
});

test.run();
