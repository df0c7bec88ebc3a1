/** Holders that lie: what a hostile member answers when the besieged site sends it copies. */
import assert from "node:assert/strict";
import { parseEntry } from "#ledger/entry.ts";
import type { Channel } from "#ledger/peers.ts";
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import { readStatements } from "#ledger/statements.ts";
import { batchOf, decodeMessage, encodeMessage, isBatch } from "#node/replication/frame-codec.ts";
import { replicateRequest } from "#node/replication/replicate-messages.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import { parseBatch } from "#protocol/batch.ts";
import type { CborMap } from "#protocol/cbor.ts";
import type { PrimeId } from "#protocol/ids.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { primeOf, type Siege } from "#test/support/siege.ts";
import { wireBatch } from "#test/support/store-samples.ts";

/** One or more in each slice, so that each has something to be placed. */
export const owned = Array.from({ length: 64 }, (_, at) => primeOf(`owned ${at}`));
export const storedOf = new Map<PrimeId, Uint8Array>(owned.map(({ id, stored }) => [id, stored]));

/** The besieged site has backed up, and the honest one has it all. */
export async function backUp({ victim, honest }: Siege): Promise<void> {
  await victim.store.putFor(victim.siteId, wireBatch(owned));
  victim.parts.own.received(1);
  const ended = eventOf({ victim }, honest.siteId, ["run-ended"]);
  victim.parts.replication.now();
  await ended;
}

/** The first event of these about the holder from now on. */
export async function eventOf(
  { victim }: Pick<Siege, "victim">,
  holder: string,
  names: readonly string[],
): Promise<string> {
  const first = victim.events.length;
  for (;;) {
    const found = victim.events
      .slice(first)
      .find((event) => names.includes(event.event) && "holder" in event && event.holder === holder);
    if (found !== undefined) return found.event;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

type Frame = CborMap | Uint8Array | undefined;
export interface Lies {
  readonly reserve?: () => Frame;
  readonly compare?: (honest: Uint8Array) => Frame;
  readonly batch?: (countSent: number) => Frame;
  readonly finish?: (hostile: HostileMember, siege: Siege, receipt: CborMap) => Frame | Promise<Frame>;
}

/** Answers a run as a holder that has nothing yet, but for the lies; ends the channel where a lie is undefined. */
export const holding =
  (siege: Siege, hostile: HostileMember, lies: Lies) =>
  async (channel: Channel): Promise<void> => {
    const receipts: Uint8Array[] = [];
    let slice = 0;
    const answerTo = async (frame: Uint8Array): Promise<Frame> => {
      if (isBatch(frame)) {
        const sentCount = [...parseBatch(batchOf(frame))].length;
        return lies.batch ? lies.batch(sentCount) : { kind: "kept", count: sentCount };
      }
      const request = decodeMessage(frame, replicateRequest);
      if (request.kind === "reserve") {
        ({ slice } = request);
        return lies.reserve ? lies.reserve() : { kind: "granted" };
      }
      if (request.kind === "compare") {
        const answer = await answerQuestion(setOfList(request.key, []), request.question);
        return lies.compare ? lies.compare(answer) : { kind: "compared", answer };
      }
      if (request.kind === "omitted") return { kind: "omitted", ids: Buffer.alloc(0) };
      if (request.kind === "end") return { kind: "receipts", entries: receipts.splice(0) };
      const receipt = receiptFor(siege, hostile, request.entry, slice);
      const said = lies.finish ? await lies.finish(hostile, siege, receipt) : receipt;
      if (said === undefined || said instanceof Uint8Array || said["kind"] !== "receipt") return said;
      receipts.push(said["entry"] as Uint8Array);
      return { kind: "received" };
    };
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      const answered = await answerTo(frame);
      if (answered === undefined) return;
      await channel.send(answered instanceof Uint8Array ? answered : encodeMessage(answered));
    }
  };

function receiptFor({ victim }: Siege, { author }: HostileMember, entry: Uint8Array, slice: number): CborMap {
  const liveSet = readStatements(parseEntry(entry)).find((said) => said.kind === "live-set" && said.slice === slice);
  assert.ok(liveSet?.kind === "live-set");
  const said = { ...liveSet, kind: "receipt" as const, owner: victim.siteId };
  return { kind: "receipt", entry: author.say(said) };
}

/** It says to have room, and the besieged site takes its next turn. */
export async function invite(siege: Siege, hostile: HostileMember, offeredBytes = 1e12): Promise<void> {
  const { ledger, replication } = siege.victim.parts;
  const profile = {
    name: "m",
    addresses: [],
    domain: "",
    offeredBytes,
    keptBytes: 0,
    readKey: Buffer.alloc(32),
    readGeneration: 1,
  };
  await ledger.offer({ entries: [hostile.author.say({ kind: "profile", ...profile })] });
  replication.now();
}
