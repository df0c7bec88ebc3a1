/**
 * A machine that keeps to no rule, with real keys and a real connection: it signs anything, serves anything, asks anything. By itself it
 * answers that its ledger is like the other's.
 */
import type { Channel, Protocol } from "#ledger/peers.ts";
import { openLog, parseEntry } from "#ledger/entry.ts";
import { parseRoster } from "#ledger/roster.ts";
import type { SeqRanges } from "#ledger/seq-ranges.ts";
import { encodeComparison, encodePage, parseSyncRequest } from "#ledger/sync-messages.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import { Libp2pPeers } from "#node/peers/libp2p-peers.ts";
import { decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { auditProtocol, primesProtocol } from "#node/replication/primes-messages.ts";
import { refused, replicateProtocol } from "#node/replication/replicate-messages.ts";
import { type CborMap, type CborValue, decodeCbor } from "#protocol/cbor.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";

type Handler = (channel: Channel) => Promise<void>;
const served = [ledgerProtocol, replicateProtocol, primesProtocol, auditProtocol];

export interface Target {
  readonly key: PeerKey;
  readonly topic: string;
  addresses(): readonly string[];
}

export class HostileMember implements AsyncDisposable {
  readonly author: LedgerAuthor;
  /** Of its site, by which {@link LedgerAuthor} makes its keys. */
  readonly name: string;
  readonly #peers: Libp2pPeers;
  readonly #target: Target;
  readonly #isStranger: boolean;
  readonly #handlers = new Map<string, Handler>([[ledgerProtocol.name, answerSame]]);

  private constructor(name: string, target: Target, peers: Libp2pPeers, isStranger: boolean) {
    this.#isStranger = isStranger;
    this.author = new LedgerAuthor(name);
    this.name = name;
    this.#target = target;
    this.#peers = peers;
  }

  static async start(name: string, target: Target, init: { isStranger?: boolean } = {}): Promise<HostileMember> {
    const log = { info: () => undefined, warn: () => undefined };
    const peers = await Libp2pPeers.create(
      {
        log,
        mayConnect: () => init.isStranger !== true,
        members: () => [],
        strangerProtocols: () => [],
        announcedAddresses: () => [],
        addressesOf: (peer) => (peer === target.key ? target.addresses() : []),
      },
      {
        peerSeed: new LedgerAuthor(name).seed,
        listen: [],
        topic: target.topic,
        mdns: false,
        limits: { peerKeptCount: 0, peerRelaysCount: 0 },
      },
    );
    const member = new HostileMember(name, target, peers, init.isStranger === true);
    for (const protocol of served)
      peers.serve(protocol, async (channel) => member.#handlers.get(protocol.name)?.(channel));
    await peers.start();
    return member;
  }

  get key(): PeerKey {
    return this.#peers.self;
  }

  get siteId(): SiteId {
    return this.author.siteId;
  }

  /** Throws `peer-unreachable` when it is not let in, or not listened to. */
  open(protocol: Protocol): Promise<Channel> {
    const { key } = this.#target;
    if (this.#isStranger) return this.#peers.dialStranger(key, this.#target.addresses(), protocol);
    return this.#peers.open(key, protocol);
  }

  /** Answers the other's questions from now on. */
  serve(protocol: Protocol, handler: Handler): void {
    this.#handlers.set(protocol.name, handler);
  }

  publish(message: Uint8Array): void {
    this.#peers.publish(message);
  }

  /** The answer to a message; undefined when the channel ends instead. */
  async ask(channel: Channel, frame: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      await channel.send(frame);
      return await channel.receive();
    } catch {
      return undefined;
    }
  }

  /** The code of the refusal that comes back; "ended" when the channel ends, and the kind of any other answer. */
  async codeOf(channel: Channel, message: CborMap | Uint8Array): Promise<string> {
    const answer = await this.ask(channel, message instanceof Uint8Array ? message : encodeMessage(message));
    if (answer === undefined) return "ended";
    if (answer[0] === 0xff) return "batch";
    const { kind } = decodeCbor(answer) as { kind?: string };
    return kind === "refused" ? decodeMessage(answer, refused).code : String(kind);
  }

  /** Shows these entries, of any logs, to whoever synchronises; the certificates of others than its own have to be given. */
  showEntries(entries: readonly Uint8Array[], init: ShownLedger = {}): void {
    this.serve(ledgerProtocol, answeringWith(entries, { certificates: [this.author.log.bytes], ...init }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peers[Symbol.asyncDispose]();
  }
}

async function answerSame(channel: Channel): Promise<void> {
  if ((await channel.receive()) !== undefined) await channel.send(encodeComparison({ same: true, newest: null }));
}

export interface ShownLedger {
  readonly certificates?: readonly Uint8Array[];
  readonly rosters?: readonly Uint8Array[];
  /** Of the newest roster. */
  readonly newest?: { readonly number: number; readonly hash: string };
  /** What is said to be known of each log. */
  readonly known?: SeqRanges["ranges"];
  readonly forks?: readonly (readonly [Uint8Array, Uint8Array])[];
  /** Given whatever was asked for: else only those of the log and ranges asked for. */
  readonly asTheyAre?: boolean;
  readonly pageCount?: number;
  /** The certificate that is given for each log instead of its own. */
  readonly mislabelled?: Uint8Array;
}

const hexBytes = (hex: string): Buffer => Buffer.from(hex, "hex");

/** A ledger that follows the protocol and holds whatever it is given. */
function answeringWith(entries: readonly Uint8Array[], init: ShownLedger): Handler {
  const logs = (init.certificates ?? []).map((bytes) => ({ id: logIdOf(bytes), bytes }));
  logs.sort((one, other) => (one.id < other.id ? -1 : 1));
  const pagesOf = function* (
    items: readonly CborValue[],
    size = init.pageCount ?? 256,
  ): Generator<[CborValue[], boolean]> {
    for (let at = 0; at === 0 || at < items.length; at += size)
      yield [items.slice(at, at + size), at + size < items.length];
  };
  return async (channel) => {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      const request = parseSyncRequest(frame);
      const send = async (name: "rosters" | "summary" | "logs" | "entries", items: readonly CborValue[]) => {
        for (const [page, more] of pagesOf(items)) await channel.send(encodePage(name, page, more));
      };
      if (request.ask === "compare")
        await channel.send(encodeComparison({ same: false, newest: (init.newest as never) ?? null }));
      else if (request.ask === "rosters")
        await send(
          "rosters",
          (init.rosters ?? []).filter((roster) => numberOf(roster) >= request.from),
        );
      else if (request.ask === "summary")
        await send(
          "summary",
          logs.map(({ id }) => ({ log: hexBytes(id), digest: Buffer.alloc(32, 0xee) })),
        );
      else if (request.ask === "logs")
        await send(
          "logs",
          logs
            .filter(({ id }) => request.logs.includes(id as never))
            .map(({ id, bytes }, at) => ({
              ...{ log: hexBytes(id), certificate: init.mislabelled ?? bytes, retires: [] },
              known: init.known ?? [[0, 2 ** 40]],
              fork: init.forks?.[at] ?? null,
            })),
        );
      else if (request.ask === "entries") {
        const wanted = entries.filter((entry) => {
          if (init.asTheyAre === true) return true;
          const { logId, seq } = parseEntry(entry);
          return logId === request.log && request.ranges.has(seq);
        });
        await send("entries", wanted);
      } else await channel.send(Buffer.from("a1666469676573745820" + "00".repeat(32), "hex"));
    }
  };
}

/** Of what is no roster, any. */
function numberOf(roster: Uint8Array): number {
  try {
    return parseRoster(roster).number;
  } catch {
    return Infinity;
  }
}

/** Of one whose signature may be wrong: then any. */
function logIdOf(bytes: Uint8Array): string {
  try {
    return openLog(bytes).id;
  } catch {
    return "77".repeat(32);
  }
}
