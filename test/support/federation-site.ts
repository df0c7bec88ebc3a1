/** A site's real federation over real libp2p on loopback and a real store in a scratch directory, in this process; time stands still. */
import { randomBytes } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { FederationLog } from "#node/cli/federation-log.ts";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import { Federation } from "#node/federation/federation.ts";
import { Libp2pPeers } from "#node/peers/libp2p-peers.ts";
import { type PeerLimits, peerLimits } from "#node/peers/peer-limits.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import type { FederationId, PeerKey, SiteId } from "#protocol/ids.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { quickScratchDirectory } from "#test/support/scratch.ts";

/** No test waits for the pauses between connections or lines of the log. */
const quickLimits: Partial<PeerLimits> = {
  peerKeptCount: 0,
  peerRelaysCount: 0,
  peerConnectionsPerAddressPerSecondCount: 10_000,
  peerRefusalsLoggedPerMinuteCount: 100_000,
};

export class FederationSite implements AsyncDisposable {
  readonly author: LedgerAuthor;
  readonly federation: Federation;
  readonly store: SegmentStore;
  readonly clock: ManualClock;
  /** What was logged from `warn` on. */
  readonly lines: string[];
  readonly events: FederationEvent[];
  readonly #peers: Libp2pPeers;
  readonly #directory: string;
  readonly #told: { forget(): void };
  readonly #end = new AbortController();

  private constructor(parts: {
    author: LedgerAuthor;
    federation: Federation;
    store: SegmentStore;
    clock: ManualClock;
    lines: string[];
    events: FederationEvent[];
    peers: Libp2pPeers;
    directory: string;
    told: { forget(): void };
  }) {
    this.author = parts.author;
    this.federation = parts.federation;
    this.store = parts.store;
    this.clock = parts.clock;
    this.lines = parts.lines;
    this.events = parts.events;
    this.#peers = parts.peers;
    this.#directory = parts.directory;
    this.#told = parts.told;
  }

  static async open(name: string): Promise<FederationSite> {
    const author = new LedgerAuthor(name);
    const directory = await quickScratchDirectory("federation", 512 * 1024 * 1024);
    const store = await SegmentStore.open({ directory, reserveFileBytes: 0 });
    const clock = new ManualClock();
    const lines: string[] = [];
    const events: FederationEvent[] = [];
    const warn = (details: object, message: string): void => void lines.push(lineOf(details, message));
    const log = { debug: () => undefined, info: () => undefined, warn, error: warn };
    const newTold = (): FederationLog => new FederationLog({ log: log as never }, peerLimits(quickLimits));
    const told = { log: newTold(), forget: () => void (told.log = newTold()) };
    const made: { peers?: Libp2pPeers } = {};
    const federation = await Federation.open(
      {
        ...{ store, clock },
        rng: { bytes: (count) => randomBytes(count), fraction: () => Math.random() },
        makeTransport: async (doorkeeper) =>
          (made.peers = await Libp2pPeers.create(
            { log, ...doorkeeper },
            { peerSeed: author.seed, listen: ["/ip4/127.0.0.1/tcp/0"], mdns: false, limits: quickLimits },
          )),
        seal: async (plain) => plain,
        records: {
          open: async (sealed) => sealed,
          take: async () => undefined,
          settle: async () => [],
          isReturning: () => false,
          fetchFirst: async () => undefined,
        },
        onEvent: (event) => {
          events.push(event);
          told.log.tell(event);
        },
      },
      {
        siteName: name,
        epochCertificate: Buffer.from(author.log.bytes),
        peerSeed: author.seed,
        readKey: Buffer.alloc(32, 1),
        readGeneration: 1,
        identityState: Buffer.alloc(0),
      },
    );
    return new FederationSite({ author, federation, store, clock, lines, events, peers: made.peers!, directory, told });
  }

  get siteId(): SiteId {
    return this.author.siteId;
  }

  get parts(): Federation["parts"] {
    return this.federation.parts;
  }

  get key(): PeerKey {
    return this.#peers.self;
  }

  /** With the certificates of the members, as far as they are known. */
  async enter(
    chain: readonly Uint8Array[],
    federationId: FederationId,
    others: readonly LedgerAuthor[],
  ): Promise<void> {
    const { membership, ledger } = this.parts;
    await membership.enter(chain, federationId);
    await ledger.offer({ certificates: others.map(({ log }) => log.bytes) });
    await this.federation.start(this.#end.signal);
  }

  /** As when a minute is over: what was told before is told again. */
  forgetTold(): void {
    this.#told.forget();
  }

  async diskBytes(): Promise<number> {
    const files = await readdir(join(this.#directory, "segments"));
    const sizes = await Promise.all(files.map((file) => stat(join(this.#directory, "segments", file))));
    return sizes.reduce((sum, { size }) => sum + size, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort(new Error("the test is over"));
    await this.#peers[Symbol.asyncDispose]();
    await this.parts.replication[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }
}

function lineOf(details: object, message: string): string {
  const { who, err, what } = details as { who?: string; err?: Error; what?: string };
  return [message, who, what, err?.message].filter((part) => part !== undefined).join(" | ");
}
