/**
 * What a machine may do that is no member, and what comes to the port that is no libp2p at all: it is refused as soon as it
 * is known or its time is up, the log says so once, and an honest member is served. Method: plain libp2p nodes and plain
 * sockets against a running transport; they come from other loopback addresses than the honest one.
 */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { RELAY_V2_HOP_CODEC, RELAY_V2_STOP_CODEC } from "@libp2p/circuit-relay-v2";
import type { Stream } from "@libp2p/interface";
import { attacked, attackedPeers, attackerOf, ended, rawSocket } from "#test/support/hostile-peer.ts";
import type { Channel } from "#ledger/peers.ts";
import { joinProtocol } from "#ledger/join.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile strangers", { timeoutMs: 30_000 });
const localAddress = "127.0.0.3";

async function answerOne(channel: Channel): Promise<void> {
  await channel.receive();
  await channel.send(Buffer.from("waiting"));
}

/** One frame there and the first bytes of the answer; false when the stream ended. */
async function answers(stream: Stream): Promise<boolean> {
  if (stream.status !== "open") return false;
  stream.send(Buffer.from([1, 65]));
  return new Promise((resolve) => {
    stream.addEventListener("message", () => resolve(true), { once: true });
    stream.addEventListener("close", () => resolve(false), { once: true });
  });
}

test("who is no member is refused before any protocol, and said so once however often it comes", async () => {
  await using target = await attackedPeers({ handlers: [[joinProtocol, answerOne]] });
  await using attacker = await attackerOf(target, { member: false, localAddress });
  for (let count = 0; count < 4; count++)
    await assert.rejects(async () => {
      const connection = await attacker.dial();
      await ended(connection);
      throw new Error("refused");
    });
  await target.until(() => target.refusals("not a member").length === 1);
  assert.deepEqual(target.victim.peers.connected().includes(attacker.machine.key), false);
  await target.assertServes();
});

test("while an invitation is open a stranger reaches the join protocol and nothing else", async () => {
  await using target = await attackedPeers({ handlers: [[joinProtocol, answerOne]] });
  target.membership.isJoinOpen = true;
  await using attacker = await attackerOf(target, { member: false, localAddress });
  assert.ok(await answers(await attacker.open(joinProtocol.name)));
  for (const name of [
    attacked.name,
    "/ipfs/id/1.0.0",
    "/ipfs/ping/1.0.0",
    "/meshsub/1.1.0",
    RELAY_V2_HOP_CODEC,
    RELAY_V2_STOP_CODEC,
  ]) {
    const stream = await attacker.open(name).catch(() => undefined);
    if (stream !== undefined) assert.equal(await answers(stream), false, name);
    assert.equal(target.refusals(`may not speak ${name}`).length, 1, name);
  }
  assert.deepEqual(target.victim.peers.connected().includes(attacker.machine.key), false);
  await target.assertServes();
});

test("a flood of strangers finds eight places, two for one address, and none of a member's", async () => {
  await using target = await attackedPeers({
    handlers: [[joinProtocol, answerOne]],
    limits: { peerConnectionsPerAddressPerSecondCount: 100 },
  });
  target.membership.isJoinOpen = true;
  const attackers = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      attackerOf(target, { member: false, localAddress: `127.0.0.${10 + index}` }),
    ),
  );
  try {
    const dialled = await Promise.allSettled(attackers.map((attacker) => attacker.dial()));
    const connections = dialled.filter((result) => result.status === "fulfilled").map(({ value }) => value);
    await target.until(() => connections.filter(({ status }) => status === "open").length === 8);
    assert.ok(target.refusals("too many strangers").length > 0);
    await target.assertServes();
    connections.find(({ status }) => status === "open")!.abort(new Error("leaves"));
    const late = attackers.find(({ node }) => node.getConnections().length === 0)!;
    await target.until(() => target.victim.peers.connected().length === 1);
    assert.equal((await late.dial()).status, "open");
  } finally {
    for (const attacker of attackers) await attacker[Symbol.asyncDispose]();
  }
});

test("one address has two places for strangers, and others find theirs", async () => {
  await using target = await attackedPeers({
    handlers: [[joinProtocol, answerOne]],
    limits: { peerConnectionsPerAddressPerSecondCount: 100 },
  });
  target.membership.isJoinOpen = true;
  const attackers = await Promise.all(
    Array.from({ length: 5 }, () => attackerOf(target, { member: false, localAddress })),
  );
  try {
    const dialled = await Promise.allSettled(attackers.map((attacker) => attacker.dial()));
    const connections = dialled.filter((result) => result.status === "fulfilled").map(({ value }) => value);
    await target.until(() => connections.filter(({ status }) => status === "open").length === 2);
    assert.ok(target.refusals("too many strangers").length > 0);
    await using other = await attackerOf(target, { member: false, localAddress: "127.0.0.9" });
    assert.ok(await answers(await other.open(joinProtocol.name)));
  } finally {
    for (const attacker of attackers) await attacker[Symbol.asyncDispose]();
  }
});

test("a stranger that stays is disconnected when its time is up", async () => {
  await using target = await attackedPeers({
    handlers: [[joinProtocol, answerOne]],
    limits: { peerStrangerConnectionMs: 100 },
  });
  target.membership.isJoinOpen = true;
  await using attacker = await attackerOf(target, { member: false, localAddress });
  await ended(await attacker.dial());
  await target.assertServes();
});

test("a stranger that has become a member keeps its connection, and reaches what members reach", async () => {
  await using target = await attackedPeers({
    handlers: [[joinProtocol, answerOne]],
    limits: { peerStrangerConnectionMs: 300 },
  });
  target.membership.isJoinOpen = true;
  await using joiner = await attackerOf(target, { member: false, localAddress });
  const connection = await joiner.dial();
  await joiner.node.handle("/ipfs/ping/1.0.0", () => {});
  target.membership.members.add(joiner.machine.key);
  target.victim.peers.membershipChanged();
  await target.until(() => target.victim.peers.connected().includes(joiner.machine.key));
  assert.ok(await answers(await joiner.open(attacked.name)));
  assert.equal(connection.status, "open");
});

/** What a port on the internet gets. */
const garbage: readonly (readonly [title: string, bytes: Buffer])[] = [
  ["random bytes", Buffer.from("9b2f00ff13c7aa55".repeat(64), "hex")],
  ["zeros", Buffer.alloc(100_000)],
  ["a TLS hello", Buffer.from("16030100a5010000a10303".padEnd(344, "5"), "hex")],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")],
  ["an SSH banner", Buffer.from("SSH-2.0-OpenSSH_9.6\r\n")],
  [
    "the start of libp2p and then a Noise message of 64 KiB of nothing",
    Buffer.concat([
      multistream("/multistream/1.0.0"),
      multistream("/noise"),
      Buffer.from([0xff, 0xff]),
      Buffer.alloc(65_535),
    ]),
  ],
  ["a negotiation that never ends", Buffer.concat([multistream("/multistream/1.0.0"), Buffer.alloc(200_000, 0x80)])],
];

function multistream(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length + 1]), Buffer.from(`${text}\n`)]);
}

/** Resolves when the other side has ended it. */
async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

for (const [title, bytes] of garbage) {
  test(`${title} on the port ends the connection`, async () => {
    await using target = await attackedPeers({ limits: { peerHandshakeMs: 500 } });
    const socket = await rawSocket(target);
    socket.write(bytes);
    await closed(socket);
    await target.until(() => target.refusals("no handshake").length === 1);
    await target.assertServes();
  });
}

test("who says nothing, or one byte at a time, is disconnected when the time for a handshake is up", async () => {
  await using target = await attackedPeers({ limits: { peerHandshakeMs: 300 } });
  const [silent, slow] = [await rawSocket(target), await rawSocket(target, "127.0.0.4")];
  const hello = multistream("/multistream/1.0.0");
  let at = 0;
  const dribble = setInterval(
    () => slow.writable && slow.write(hello.subarray(at % hello.length, (at++ % hello.length) + 1)),
    40,
  );
  await Promise.all([closed(silent), closed(slow)]);
  clearInterval(dribble);
  await target.until(() => target.refusals("no handshake").length === 2);
  await target.assertServes();
});

test("a flood of connections from one address leaves room for others", async () => {
  await using target = await attackedPeers({ limits: { peerConnectionsPerAddressPerSecondCount: 1000 } });
  const sockets = await Promise.all(Array.from({ length: 200 }, () => rawSocket(target, "127.0.0.5")));
  await target.until(() => sockets.filter((socket) => !socket.closed && socket.resume()).length <= 4);
  assert.equal(target.refusals("do not say who they are").length, 1);
  await target.assertServes();
  sockets.forEach((socket) => socket.destroy());
});

test("an address that connects too often in a second is turned away", async () => {
  await using target = await attackedPeers({ limits: { peerConnectionsPerAddressPerSecondCount: 3 } });
  for (let count = 0; count < 20; count++) {
    const socket = await rawSocket(target, "127.0.0.6").catch(() => undefined);
    socket?.destroy();
  }
  await target.assertServes();
});

test("many addresses that say nothing do not take the places of those who are connected", async () => {
  await using target = await attackedPeers({ limits: { peerConnectionsPendingCount: 32, peerHandshakeMs: 500 } });
  await target.assertServes();
  const sockets = await Promise.all(
    Array.from({ length: 100 }, (_, index) => rawSocket(target, `127.0.1.${index + 1}`)),
  );
  await target.assertServes();
  await Promise.all(sockets.map(closed));
  await target.assertServes();
});

test.run();
