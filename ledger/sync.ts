/**
 * How two sites make their ledgers equal: one asks, the other answers, over a channel of `/costor/ledger/1`.
 * docs/specs/ledger.md, "Synchronising"
 *
 * Both sides hold a page of at most a frame in memory, whatever the other sends.
 */
import { type CborValue, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import type { Ledger } from "./ledger.ts";
import type { LogState } from "./log-state.ts";
import type { Membership } from "./membership.ts";
import type { Channel, Protocol } from "./peers.ts";
import type { SeqRanges } from "./seq-ranges.ts";
import {
  type PageName,
  type SyncRequest,
  encodeCheck,
  encodeComparison,
  encodePage,
  knowledgeItem,
  logDigestItem,
  parseSyncRequest,
} from "./sync-messages.ts";

export const ledgerProtocol: Protocol = {
  name: "/costor/ledger/1",
  maxFrameBytes: limits.syncFrameBytes,
  maxChannelsPerPeerCount: 2,
};

export interface SyncComponents {
  readonly ledger: Ledger;
  readonly membership: Membership;
  /** A peer that asks has the same as this site. */
  readonly onSame?: () => void;
}

/** Answers one peer until it closes. Throws `peer-misbehaved`, `peer-unreachable`. */
export async function answerSync(channel: Channel, components: SyncComponents): Promise<void> {
  for (let count = 0; ; count++) {
    const frame = await channel.receive();
    if (frame === undefined) return channel.close();
    if (count >= limits.syncRequestsCount)
      throw new CostorError("peer-misbehaved", `a peer asked more than ${limits.syncRequestsCount} times`);
    await answer(channel, readRequest(frame), components);
  }
}

function readRequest(frame: Uint8Array): SyncRequest {
  try {
    return parseSyncRequest(frame);
  } catch (cause) {
    throw new CostorError("peer-misbehaved", "a peer asked for nothing that there is", { cause });
  }
}

async function answer(channel: Channel, request: SyncRequest, components: SyncComponents): Promise<void> {
  const { ledger, membership } = components;
  switch (request.ask) {
    case "compare": {
      const { roster } = membership;
      const same = request.digest === ledger.digest() && request.roster === (roster?.hash ?? null);
      if (same) components.onSame?.();
      const newest = same || roster === undefined ? null : { number: roster.number, hash: roster.hash };
      return channel.send(encodeComparison({ same, newest }));
    }
    case "rosters":
      return sendPages(channel, "rosters", membership.rosters(request.from));
    case "summary":
      return sendPages(channel, "summary", summaryOf(ledger));
    case "logs":
      return sendPages(channel, "logs", knowledgeOf(ledger, request.logs));
    case "entries":
      return sendPages(channel, "entries", entriesOf(ledger, ledger.log(request.log), request.ranges));
    case "withdrawn": {
      const state = ledger.log(request.log);
      const isOwn = state !== undefined && membership.siteOfPeer(channel.peer) === state.log.certificate.siteId;
      return sendPages(channel, "entries", isOwn ? withdrawnOf(ledger, state) : []);
    }
    case "check": {
      const digest = ledger.log(request.log)?.digestOf(request.ranges).toString("hex") ?? "00".repeat(32);
      return channel.send(encodeCheck(digest));
    }
    default:
      return request satisfies never;
  }
}

/** Only what may speak is shown. */
const shown = ({ boundary }: LogState): boolean => boundary >= 0;

function* summaryOf(ledger: Ledger): Generator<CborValue> {
  for (const state of ledger.logs())
    if (shown(state)) yield logDigestItem({ log: state.log.id, digest: state.digest.toString("hex") });
}

function* knowledgeOf(ledger: Ledger, logIds: readonly LogState["log"]["id"][]): Generator<CborValue> {
  for (const logId of logIds) {
    const state = ledger.log(logId);
    if (state === undefined || !shown(state)) continue;
    const { known, fork = null } = state;
    yield knowledgeItem({ log: logId, certificate: state.log.bytes, known, retires: state.retireSeqs(), fork });
  }
}

async function* entriesOf(ledger: Ledger, state: LogState | undefined, ranges: SeqRanges): AsyncGenerator<CborValue> {
  for (const seq of state?.placesOfAll() ?? []) if (ranges.has(seq)) yield* await ledger.entriesAt(state!.log.id, seq);
}

async function* withdrawnOf(ledger: Ledger, state: LogState): AsyncGenerator<CborValue> {
  for (const seq of state.hidden) {
    const entry = await ledger.keptEntry(state.log.id, seq);
    if (entry !== undefined) yield entry;
  }
}

async function sendPages(
  channel: Channel,
  name: PageName,
  items: Iterable<CborValue> | AsyncIterable<CborValue>,
): Promise<void> {
  let page: CborValue[] = [];
  let pageBytes = 0;
  for await (const item of items) {
    if (pageBytes >= limits.syncPageBytes) {
      await channel.send(encodePage(name, page, true));
      [page, pageBytes] = [[], 0];
    }
    page.push(item);
    pageBytes += item instanceof Uint8Array ? item.length : encodeCbor(item).length;
  }
  await channel.send(encodePage(name, page, false));
}
