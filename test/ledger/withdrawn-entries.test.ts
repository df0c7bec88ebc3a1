/** Goal: a site's own machine is told what was withdrawn for it and is still kept, nobody else is, and a peer that lies is left. */
import assert from "node:assert/strict";
import { answerSync, ledgerProtocol } from "#ledger/sync.ts";
import { encodePage, parseSyncRequest } from "#ledger/sync-messages.ts";
import { withdrawnEntries } from "#ledger/withdrawn-entries.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parsePeerKey } from "#protocol/ids.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { Replica, pull } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("withdrawn entries");

async function world() {
  const founder = await Replica.found("founder");
  const guest = await Replica.open("guest");
  await founder.letIn(guest);
  await pull(guest, founder);
  for (const slice of [1, 2, 3]) await guest.own.write({ kind: "placement", slice, holders: [founder.siteId] });
  await pull(founder, guest);
  const placed = guest.ledger.statements(guest.siteId, "placement").filter(({ statement }) => statement.slice < 3);
  const bytes = await Promise.all(placed.map(({ logId, seq }) => guest.ledger.entry(logId, seq)));
  await guest.own.withdrawIdle({ also: placed, leastCount: 1 });
  await pull(founder, guest);
  return { founder, guest, bytes: bytes.map((each) => Buffer.from(each!)) };
}

const peerKeyOf = (site: Replica) =>
  parsePeerKey(Buffer.from(site.author.log.certificate.peerPublicKey).toString("hex"));

async function ask(asker: Replica, answerer: Replica, about = asker): Promise<Buffer[]> {
  const peers = [peerKeyOf(answerer), peerKeyOf(asker)] as const;
  const { channels } = channelPair(ledgerProtocol, { peers });
  const answering = answerSync(channels[1], answerer);
  const entries = await Array.fromAsync(withdrawnEntries(channels[0], about.author.log));
  await channels[0].close();
  await answering;
  return entries.map((entry) => Buffer.from(entry.bytes));
}

test("a site's machine is told what was withdrawn for it", async () => {
  const { founder, guest, bytes } = await world();
  assert.equal(bytes.length, 2);
  assert.deepEqual(await ask(guest, founder), bytes);
});

test("nobody is told of another site, and what is forgotten is not told", async () => {
  const { founder, guest } = await world();
  assert.deepEqual(await ask(founder, guest, guest), []);
  await founder.ledger.forget(guest.author.log.id, founder.ledger.log(guest.author.log.id)!.hidden);
  assert.deepEqual(await ask(guest, founder), []);
});

test("entries out of order, of another log or with another signature are not believed", async () => {
  const { founder, guest, bytes } = await world();
  const foreign = (await founder.ledger.entry(founder.author.log.id, 0))!;
  const forged = Buffer.from(bytes[1]!);
  forged[forged.length - 1]! ^= 1;
  const lies = [
    [bytes.toReversed(), "peer-misbehaved"],
    [[bytes[0]!, bytes[0]!], "peer-misbehaved"],
    [[Buffer.from(foreign)], "peer-misbehaved"],
    [[bytes[0]!, forged], "signature-invalid"],
  ] as const;
  for (const [entries, code] of lies) {
    const { channels } = channelPair(ledgerProtocol);
    const answering = (async () => {
      assert.equal(parseSyncRequest((await channels[1].receive())!).ask, "withdrawn");
      await channels[1].send(encodePage("entries", entries, false));
    })();
    await assert.rejects(Array.fromAsync(withdrawnEntries(channels[0], guest.author.log)), (error) =>
      isCostorError(error, code),
    );
    await answering;
  }
});

test.run();
