/**
 * What a site that relays does not let happen: strangers use it, and whoever sends more than the other takes fills its
 * memory. Method: plain libp2p nodes that ask a running transport to relay.
 */
import assert from "node:assert/strict";
import { noise } from "@chainsafe/libp2p-noise";
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { identify } from "@libp2p/identify";
import type { Connection, Libp2p, Stream } from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr, type Multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import { type Attacked, attackedPeers, pour } from "#test/support/hostile-peer.ts";
import { testMachine } from "#test/support/libp2p-peers.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile relaying", { timeoutMs: 30_000 });

const addressOf = (target: Attacked): Multiaddr =>
  multiaddr(`/ip4/127.0.0.1/tcp/${target.port}/p2p/${peerIdOf(target.victim.peers.self).toString()}`);

/** A plain node that can be relayed to, as far as the relay lets it. */
async function relayedNode(target: Attacked, init: { member: boolean; listens: boolean }): Promise<Libp2p> {
  const machine = testMachine();
  if (init.member) target.membership.members.add(machine.key);
  return createLibp2p({
    privateKey: await generateKeyPairFromSeed("Ed25519", machine.seed),
    addresses: { listen: init.listens ? [`${addressOf(target).toString()}/p2p-circuit`] : [] },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    // Smaller than what a stream keeps unread, or one that does not read would break.
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 1024 * 1024 } })],
    connectionMonitor: { enabled: false },
    services: { identify: identify() },
  });
}

const through = (target: Attacked, node: Libp2p): Multiaddr =>
  addressOf(target).encapsulate(`/p2p-circuit/p2p/${node.peerId.toString()}`);

test("members are relayed to each other, and no stranger to or from them", async () => {
  await using target = await attackedPeers();
  target.membership.isJoinOpen = true;
  const member = await relayedNode(target, { member: true, listens: true });
  const other = await relayedNode(target, { member: true, listens: false });
  const stranger = await relayedNode(target, { member: false, listens: false });
  try {
    assert.equal((await other.dial(through(target, member))).status, "open");
    await assert.rejects(stranger.dial(through(target, member)));
    // The invitation lets it connect, and ask for nothing of this.
    await assert.rejects(relayedNode(target, { member: false, listens: true }));
    assert.equal(target.refusals("may not speak /libp2p/circuit").length, 2);
    await target.assertServes();
  } finally {
    for (const node of [stranger, other, member]) await node.stop();
  }
});

test("what is sent through a relay and not taken waits at its sender", async () => {
  await using target = await attackedPeers({ limits: { peerUnreadBytes: 256 * 1024 } });
  const [source, destination] = [
    await relayedNode(target, { member: true, listens: false }),
    await relayedNode(target, { member: true, listens: true }),
  ];
  try {
    const opened = new Promise<Connection>((resolve) =>
      destination.addEventListener("connection:open", ({ detail }) => resolve(detail)),
    );
    const sending = rawStreamOf(await source.dial(through(target, destination)));
    rawStreamOf(await opened).pause();
    const takenBytes = await pour(target, sending, 32 * 1024 * 1024);
    assert.equal(sending.status, "open");
    assert.ok(takenBytes < 12 * 1024 * 1024, `${takenBytes} bytes were taken from the sender`);
  } finally {
    await source.stop();
    await destination.stop();
  }
});

/** The stream to the relay, below the encryption between the two ends. */
function rawStreamOf(connection: Connection): Stream {
  return (connection as unknown as { maConn: { stream: Stream } }).maConn.stream;
}

test.run();
