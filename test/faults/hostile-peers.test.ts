/**
 * Goal: whatever a member floods a site with, its memory, its disk and its log stay bounded and it goes on answering. Method: a real
 * `costor site start`, and a hostile member that has joined by a real invitation; its memory is that of its process. The attacks one by
 * one, on a site in this process: test/node/federation/hostile-*.test.ts.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { askToJoin, joinProtocol } from "#ledger/join.ts";
import { lastMessage } from "#ledger/gossip.ts";
import { parseInvitation } from "#ledger/invitation.ts";
import type { Channel } from "#ledger/peers.ts";
import { encodeComparison, encodePage, encodeSyncRequest, parseSyncRequest } from "#ledger/sync-messages.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import { auditProtocol } from "#node/replication/primes-messages.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import { parseRosterHash } from "#protocol/ids.ts";
import { HostileMember, type Target } from "#test/support/hostile-member.ts";
import { batch, hex, poison } from "#test/support/hostile-run.ts";
import { count } from "#test/support/level.ts";
import { noise } from "#test/support/noise.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { type SiteProcess, runCommand, startSiteProcess } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile peers of a real site", { timeoutMs: 120_000 });
const MIB = 1024 * 1024;
/** Four frames of the largest size, which are read before they are refused, and as much again until they are collected. */
const MOST = { memoryBytes: 128 * MIB, diskBytes: 4 * MIB, logBytes: 64 * 1024 };

let site: SiteProcess;
let data: string;
let hostile: HostileMember;
let target: Target;
let before: { memoryBytes: number; diskBytes: number; logBytes: number };

async function federation<T>(...words: string[]): Promise<T> {
  const { code, json, stderr } = await runCommand("federation", ...words, "--data", data, "--json");
  assert.equal(code, 0, stderr);
  return json<T>();
}

function measured(): typeof before {
  const status = readFileSync(`/proc/${site.pid}/status`, "utf8");
  const memoryBytes = 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
  const diskBytes = Number(spawnSync("du", ["-sb", data], { encoding: "utf8" }).stdout.split("\t")[0]);
  return { memoryBytes, diskBytes, logBytes: Buffer.byteLength(site.stderr()) };
}

test.before(async () => {
  const directory = await scratchDirectory("hostile-peers");
  data = join(directory, "site");
  const words = ["--peer-listen", "127.0.0.1:0", "--peer-websocket", "off", "--no-lan-discovery"];
  site = await startSiteProcess(data, ...words, "--name", "victim", "--kit", join(directory, "kit"));
  await federation("create", "--name", "Schools");
  const made = await federation<{ invitation: string }>("invite", "--name", "hostile");
  const invitation = parseInvitation(made.invitation);
  const { federationId, peer, addresses } = invitation;
  target = { key: peer, topic: `/costor/ledger/1/${federationId}`, addresses: () => addresses };
  {
    await using newcomer = await HostileMember.start("hostile", target, { isStranger: true });
    const asked = { invitation, log: newcomer.author.log, name: "hostile" };
    const { state, words: spoken } = await askToJoin(await newcomer.open(joinProtocol), asked);
    assert.equal(state, "waiting");
    await federation("confirm", "--words", spoken.join(" "));
    await federation("admit", newcomer.siteId);
  }
  hostile = await HostileMember.start("hostile", target);
  // What replication takes in its ordinary work is no growth.
  for (let at = 0; at < 4; at++) await refusedFrame(Buffer.alloc(16 * MIB, 1));
  before = measured();
});
test.after(async () => {
  await hostile?.[Symbol.asyncDispose]();
  await site?.stop();
});

/** On a new connection, which begins a round of synchronising; it answers so. */
async function reconnect(answer?: (channel: Channel) => Promise<void>): Promise<void> {
  await hostile[Symbol.asyncDispose]();
  hostile = await HostileMember.start("hostile", target);
  if (answer !== undefined) hostile.serve(ledgerProtocol, answer);
  const channel = await hostile.open(ledgerProtocol);
  await channel.close();
}

/** One that ends its run. */
async function refusedFrame(frame: Uint8Array): Promise<void> {
  const channel = await hostile.open(replicateProtocol);
  await hostile.ask(channel, frame);
  channel.abort();
}

/** Ascending. */
const logsFrom = (first: number) =>
  Array.from({ length: 64 }, (_, at) => {
    const log = Buffer.alloc(32);
    log.writeUInt32BE(first + at);
    return { log, digest: Buffer.alloc(32) };
  });

/** Until the site ends the channel, or so many. */
async function pour(channel: Channel, framesCount: number, make: (at: number) => Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < framesCount; at++) await channel.send(make(at));
  } catch {
    // It was ended.
  }
}

/** While it goes on a person is answered, and after it nothing has grown. */
function floods(title: string, attack: () => Promise<void>): void {
  test(`${title} fills neither memory nor disk nor log, and people are answered`, async () => {
    await Promise.all([attack(), federation("status")]);
    const after = measured();
    for (const name of ["memoryBytes", "diskBytes", "logBytes"] as const)
      assert.ok(after[name] - before[name] <= MOST[name], `${name} has grown by ${after[name] - before[name]}`);
  });
}

floods("garbage that is spread", async () => {
  for (let at = 0; at < count(200, 20_000); at++) {
    hostile.publish(Buffer.concat([Buffer.of(at), noise(`${at}`, 200)]));
    if (at % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
});
floods("ends of its log that it never reaches", async () => {
  const roster = parseRosterHash("ab".repeat(32));
  for (let at = 0; at < count(200, 20_000); at++)
    hostile.publish(lastMessage({ log: hostile.author.log.id, last: 1_000_000 + at, roster }));
});
floods("a summary without end", async () => {
  const poured = Promise.withResolvers<void>();
  await reconnect(async (channel) => {
    for (;;) {
      const frame = await channel.receive().catch(() => undefined);
      if (frame === undefined) return poured.resolve();
      const { ask } = parseSyncRequest(frame);
      if (ask !== "summary") await channel.send(encodeComparison({ same: false, newest: null }));
      else await pour(channel, 10_000, (at) => encodePage("summary", logsFrom(64 * at), true));
    }
  });
  await poured.promise;
});
floods("questions whose answers nobody reads", async () => {
  const channel = await hostile.open(ledgerProtocol);
  const ask = encodeSyncRequest({ ask: "rosters", from: 0 });
  const asked = pour(channel, 100_000, () => ask);
  await Promise.race([asked, federation("members")]);
  channel.abort();
  await asked;
});
floods("frames of sixteen megabytes that say nothing", async () => {
  for (let at = 0; at < count(4, 100); at++) await refusedFrame(Buffer.alloc(16 * MIB, 1));
});
floods("compressed messages that say to be large", async () => {
  for (let at = 0; at < count(20, 1000); at++) await refusedFrame(Buffer.from("00ffffff00ff00", "hex"));
});
floods("batches that nobody has reserved room for", async () => {
  const large = batch({ id: poison.id, stored: Buffer.alloc(4 * MIB) });
  for (let at = 0; at < count(6, 500); at++) await refusedFrame(large);
});
floods("refused reservations by the thousand", async () => {
  const channel = await hostile.open(replicateProtocol);
  const reserve = { kind: "reserve", owner: hex(hostile.siteId), slice: 0, bytes: 1, entry: hostile.author.entry() };
  for (let at = 0; at < count(200, 20_000); at++) assert.equal(await hostile.codeOf(channel, reserve), "peer-refused");
});
floods("audits of what is not there", async () => {
  for (let at = 0; at < count(30, 2000); at++) {
    const channel = await hostile.open(auditProtocol);
    const ask = { kind: "audit", owner: hex(hostile.siteId), nonce: randomBytes(32), ids: randomBytes(64 * 32) };
    await hostile.codeOf(channel, ask);
    channel.abort();
  }
});
floods("connections that come and go", async () => {
  for (let at = 0; at < count(5, 200); at++) {
    await reconnect();
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
});

test.run();
