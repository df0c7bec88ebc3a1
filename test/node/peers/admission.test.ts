/** Whom refusals are held against, who counts as a stranger, and how little an attacker makes the log say. */
import assert from "node:assert/strict";
import type { MultiaddrConnection } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { Admission, addressOf } from "#node/peers/admission.ts";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import { peerLimits } from "#node/peers/peer-limits.ts";
import { RefusalLog } from "#node/peers/refusal-log.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { testMachine } from "#test/support/libp2p-peers.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("admission");

test("an IPv4 address stands for itself, and an IPv6 address for its network", () => {
  for (const [text, expected] of [
    ["/ip4/192.0.2.7/tcp/4001", "192.0.2.7"],
    ["/ip6/2001:db8:1:2:3:4:5:6/tcp/4001", "2001:db8:1:2::/64"],
    ["/ip6/2001:db8::1/tcp/4001", "2001:db8:0:0::/64"],
    ["/ip6/::1/tcp/4001", "0:0:0:0::/64"],
    ["/ip4/192.0.2.7/tcp/4001/ws", "192.0.2.7"],
    ["/p2p-circuit", "unknown"],
  ])
    assert.equal(addressOf(multiaddr(text!)), expected);
});

test("a peer that has become known counts as a stranger no more, though its connection lasts", () => {
  const members = new Set<PeerKey>();
  const lines: string[] = [];
  const log = { info: () => {}, warn: (_details: object, message: string) => void lines.push(message) };
  const limits = peerLimits({ peerStrangersPerAddressCount: 2 });
  const admission = new Admission(
    {
      mayConnect: (peer) => members.has(peer),
      strangerProtocols: () => ["/costor/hello/1"],
      refusals: new RefusalLog({ log }, { limits }),
    },
    { limits },
  );
  const isRefused = (peer: PeerKey): unknown => {
    const connection = { status: "open", remoteAddr: multiaddr("/ip4/203.0.113.7/tcp/4001") };
    const made = Object.assign(new EventTarget(), connection) as unknown as MultiaddrConnection;
    return admission.gater().denyInboundEncryptedConnection!(peerIdOf(peer), made);
  };
  const [first, second, third, fourth] = Array.from({ length: 4 }, () => testMachine().key);
  assert.deepEqual([isRefused(first!), isRefused(second!), isRefused(third!)], [false, false, true]);
  members.add(first!);
  assert.deepEqual([isRefused(third!), isRefused(fourth!)], [false, true]);
  assert.deepEqual([...new Set(lines)], ["refused: too many strangers"]);
});

test("a refusal is said once a minute of each, and the rest is counted", () => {
  const lines: string[] = [];
  const add = (details: Record<string, unknown>, message: string): void => {
    lines.push(`${message} ${details["who"] ?? details["count"]}`);
  };
  let nowMs = 0;
  const refusals = new RefusalLog(
    { log: { info: add, warn: add }, elapsedMs: () => nowMs },
    { limits: peerLimits({ peerRefusalsLoggedPerMinuteCount: 3 }) },
  );
  for (let count = 0; count < 1000; count++) refusals.refused("not a member", "192.0.2.1");
  refusals.refused("not a member", "192.0.2.2");
  for (let count = 0; count < 1000; count++) refusals.refused("not a member", `192.0.3.${count}`);
  assert.deepEqual(lines, [
    "refused: not a member 192.0.2.1",
    "refused: not a member 192.0.2.2",
    "refused: not a member 192.0.3.0",
  ]);
  nowMs += 60_000;
  refusals.refused("not a member", "192.0.2.1");
  assert.deepEqual(lines.slice(3), ["refused more of the same 1998", "refused: not a member 192.0.2.1"]);
});

test.run();
