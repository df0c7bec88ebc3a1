/** A machine under attack beside an honest one, and attackers that keep to no rule: plain libp2p nodes and plain sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { noise } from "@chainsafe/libp2p-noise";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { identify } from "@libp2p/identify";
import type { Connection, Libp2p, Stream, StreamMuxerFactory } from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import type { PeerLimits } from "#node/peers/peer-limits.ts";
import { isCostorError } from "#protocol/errors.ts";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import type { Channel, Protocol } from "#ledger/peers.ts";
import {
  startTestPeers,
  type TestMachine,
  testMachine,
  TestMembership,
  type TestPeers,
  testPeers,
} from "#test/support/libp2p-peers.ts";

export const attacked: Protocol = { name: "/costor/test/1", maxFrameBytes: 64 * 1024, maxChannelsPerPeerCount: 4 };

/** Gives each frame back. */
export async function echoAll(channel: Channel): Promise<void> {
  for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive())
    await channel.send(frame);
}

export interface Attacked extends AsyncDisposable {
  readonly victim: TestPeers;
  readonly membership: TestMembership;
  /** IPv4 loopback address and port that the victim listens on. */
  readonly port: number;
  /** The honest one, a member, gets an answer. */
  assertServes(): Promise<void>;
  /** Lines of the victim's log about refusals with this text. */
  refusals(text: string): readonly string[];
  /** Resolves when the condition holds; it is looked at when something happens at the victim, and often. */
  until(condition: () => boolean): Promise<void>;
}

/** `handlers` are served besides the echo of {@link attacked}. */
export async function attackedPeers(
  init: {
    limits?: Partial<PeerLimits>;
    handlers?: readonly (readonly [Protocol, (channel: Channel) => Promise<void>])[];
  } = {},
): Promise<Attacked> {
  const membership = new TestMembership();
  const [victimMachine, honestMachine] = [testMachine(), testMachine()];
  membership.members.add(victimMachine.key).add(honestMachine.key);
  const limits = { peerKeptCount: 0, peerRelaysCount: 0, ...init.limits };
  const victim = await testPeers(membership, victimMachine, { limits });
  victim.peers.serve(attacked, echoAll);
  for (const [protocol, handler] of init.handlers ?? []) victim.peers.serve(protocol, handler);
  await startTestPeers(victim);
  const honest = await testPeers(membership, honestMachine, {
    listen: [],
    limits: { peerKeptCount: 0, peerRelaysCount: 0 },
  });
  await honest.peers.start();
  const port = Number(
    multiaddr(victim.peers.addresses()[0]!)
      .getComponents()
      .find(({ name }) => name === "tcp")!.value,
  );
  return {
    victim,
    membership,
    port,
    async assertServes() {
      const ask = async (): Promise<string> => {
        const channel = await honest.peers.open(victimMachine.key, attacked);
        await channel.send(Buffer.from("still there?"));
        const answer = Buffer.from((await channel.receive())!).toString();
        await channel.close();
        return answer;
      };
      // A busy machine may answer a ping too late for the short limits of a test: then one dials again.
      const answer = await ask().catch((error: unknown) => {
        if (!isCostorError(error, "peer-unreachable")) throw error;
        return ask();
      });
      assert.equal(answer, "still there?");
    },
    refusals: (text) => victim.log.lines.filter((line) => line.startsWith("refused") && line.includes(text)),
    async until(condition) {
      while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
    },
    async [Symbol.asyncDispose]() {
      await honest.peers[Symbol.asyncDispose]();
      await victim.peers[Symbol.asyncDispose]();
    },
  };
}

export interface Attacker extends AsyncDisposable {
  readonly machine: TestMachine;
  readonly node: Libp2p;
  dial(): Promise<Connection>;
  /** A stream that has agreed on the protocol. */
  open(protocolName: string): Promise<Stream>;
}

/** A libp2p node without CoStor's rules; a member if asked for. */
export async function attackerOf(
  target: Attacked,
  init: { member: boolean; muxer?: () => StreamMuxerFactory; localAddress?: string },
): Promise<Attacker> {
  const machine = testMachine();
  if (init.member) target.membership.members.add(machine.key);
  const node = await createLibp2p({
    privateKey: await generateKeyPairFromSeed("Ed25519", machine.seed),
    transports: [tcp({ dialOpts: { localAddress: init.localAddress } as object })],
    connectionEncrypters: [noise()],
    streamMuxers: [init.muxer ?? yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify({ runOnConnectionOpen: false }) },
  });
  const address = multiaddr(`/ip4/127.0.0.1/tcp/${target.port}/p2p/${peerIdOf(target.victim.peers.self).toString()}`);
  const dial = (): Promise<Connection> => node.dial(address, { force: true });
  return {
    machine,
    node,
    dial,
    async open(protocolName) {
      const connection = node.getConnections()[0] ?? (await dial());
      return connection.newStream(protocolName, { maxOutboundStreams: 10_000 });
    },
    async [Symbol.asyncDispose]() {
      for (const connection of node.getConnections()) connection.abort(new Error("done"));
      await node.stop();
    },
  };
}

/** A plain connection to the victim, from `localAddress`. */
export async function rawSocket(target: Attacked, localAddress = "127.0.0.2"): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port: target.port, localAddress });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Sends so much on a stream and gives how much the other side has taken when it takes no more. */
export async function pour(target: Attacked, stream: Stream, totalBytes: number, byte = 1): Promise<number> {
  const pieceBytes = 256 * 1024;
  for (let sentBytes = 0; sentBytes < totalBytes; sentBytes += pieceBytes) stream.send(Buffer.alloc(pieceBytes, byte));
  for (let waitingBytes = -1; waitingBytes !== stream.writeBufferLength;) {
    waitingBytes = stream.writeBufferLength;
    for (let count = 0; count < 20; count++) await target.assertServes();
  }
  return totalBytes - stream.writeBufferLength;
}

/** Resolves when the stream or connection has ended. */
export async function ended(thing: Pick<Stream, "status"> & EventTarget): Promise<void> {
  if (thing.status !== "open" && thing.status !== "closing") return;
  await new Promise<void>((resolve) => thing.addEventListener("close", () => resolve(), { once: true }));
}
