/** Sites' transports on the loopback interface, members to each other, with what a test wants to see of them. */
import { randomBytes } from "node:crypto";
import { Libp2pPeers, type Libp2pPeersComponents, type Libp2pPeersInit } from "#node/peers/libp2p-peers.ts";
import { joinProtocol } from "#ledger/join.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";

export interface TestMachine {
  readonly seed: Buffer;
  readonly key: PeerKey;
}

export function testMachine(seed = randomBytes(32)): TestMachine {
  return { seed, key: publicKeyOf("ed25519", seed).toString("hex") as PeerKey };
}

/** A log whose lines a test reads. */
export interface TestLog {
  readonly lines: string[];
  info(details: Record<string, unknown>, message: string): void;
  warn(details: Record<string, unknown>, message: string): void;
}

function testLog(): TestLog {
  const lines: string[] = [];
  const add = (details: Record<string, unknown>, message: string): void => {
    lines.push(`${message} ${details["who"] ?? details["err"] ?? ""}`);
  };
  return { lines, info: add, warn: add };
}

/** What the peers of a test share: who is a member and where each listens. */
export class TestMembership {
  readonly members = new Set<PeerKey>();
  readonly addresses = new Map<PeerKey, readonly string[]>();
  readonly announced = new Map<PeerKey, readonly string[]>();
  isJoinOpen = false;

  components(log: TestLog, self: PeerKey): Libp2pPeersComponents {
    return {
      log,
      mayConnect: (peer) => this.members.has(peer),
      members: () => [...this.members],
      strangerProtocols: () => (this.isJoinOpen ? [joinProtocol.name] : []),
      addressesOf: (peer) => this.addresses.get(peer) ?? [],
      announcedAddresses: () => this.announced.get(self) ?? [],
    };
  }
}

export interface TestPeers {
  readonly peers: Libp2pPeers;
  readonly log: TestLog;
  readonly membership: TestMembership;
}

/** Not started. */
export async function testPeers(
  membership: TestMembership,
  machine: TestMachine,
  init: Partial<Libp2pPeersInit> = {},
): Promise<TestPeers> {
  const log = testLog();
  const peers = await Libp2pPeers.create(membership.components(log, machine.key), {
    peerSeed: machine.seed,
    listen: ["/ip4/127.0.0.1/tcp/0"],
    topic: "costor-test",
    mdns: false,
    ...init,
  });
  return { peers, log, membership };
}

/** Starts it and tells the others where it listens. */
export async function startTestPeers({ peers, membership }: TestPeers): Promise<void> {
  await peers.start();
  membership.addresses.set(peers.self, peers.addresses());
}
