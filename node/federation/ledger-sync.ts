/**
 * Keeps this replica of the ledger equal to the others: asks a peer when it connects, another now and then, and soon when
 * what was spread says that something is missing. docs/specs/ledger.md
 */
import type { Clock } from "#ledger/clock.ts";
import { admitGossip, gossipMessage, lastMessage } from "#ledger/gossip.ts";
import { Deadline } from "#ledger/deadline.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { OwnLog } from "#ledger/own-log.ts";
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { pullFrom } from "#ledger/sync-pull.ts";
import { answerSync, ledgerProtocol } from "#ledger/sync.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import type { FederationEvent } from "./federation-event.ts";
import { HeardMessages } from "./heard-messages.ts";

export interface LedgerSyncComponents {
  readonly ledger: Ledger;
  readonly membership: Membership;
  readonly ownLog: OwnLog;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly onEvent: (event: FederationEvent) => void;
}

/** Mean time between two rounds with a peer of chance. */
const EVERY_MS = 15 * 60_000;
/** Longest time of one round: a large ledger over a slow line. */
const MOST_MS = 30 * 60_000;
/**
 * From the first peer that was asked on, before the own log is written: as long as it may take to reach the other members. The first one may
 * know as little as this site does.
 */
const FIRST_ROUNDS_MS = 10_000;
/** From then on, for the others to be reached that may know of newer backups than this site does. */
const PATIENCE_MS = 3600_000;
/** So many know what a site of many has said. */
const ASKED_COUNT = 11;
/** Of what somebody said before, all others may know since: many times as long as a round with a peer of chance takes to come. */
const RECENT_MS = 24 * 3600_000;
/** When something is missing: others find it at the same moment, and not all ask the same peer at once. */
const SOON_MS = 60_000;
/** Until a site is asked for what it has and this one does not know: mostly that comes meanwhile. */
const SITE_SOON_MS = 2_000;
/** After an entry of this site, until it says how far its log goes. */
const TELL_MS = 10_000;

/** What was taken over so lately need not be asked for again before a run. */
const FRESH_MS = 60_000;
/** So long a run waits for it. */
const CATCH_UP_MS = 30_000;

type Due = "anybody" | "site" | "roster" | "tell";

export class LedgerSync {
  readonly #components: LedgerSyncComponents;
  readonly #readyListeners: (() => void)[] = [];
  readonly #asking = new Map<PeerKey, Promise<boolean>>();
  /** When each was asked last, since the start, by the clock that never jumps. */
  readonly #askedMs = new Map<SiteId, number>();
  #signal: AbortSignal | undefined;
  readonly #heard: HeardMessages;
  /** What is to be done after a pause, once however often there is reason for it meanwhile. */
  readonly #due = new Set<Due>();
  /** Sites that have said more than is known here; the last of them was named last. */
  readonly #ahead = new Set<SiteId>();
  #isPatienceOver = false;
  #isAnswered = false;
  /** A peer has asked since this site was to ask last, and both had the same. */
  #isSame = false;

  constructor(components: LedgerSyncComponents) {
    this.#components = components;
    const { peers, ledger, membership } = components;
    const onSame = (): void => void (this.#isSame = true);
    peers.serve(ledgerProtocol, (channel) => answerSync(channel, { ledger, membership, onSame }));
    peers.onConnected((peer) => void this.with(peer));
    this.#heard = new HeardMessages({
      admit: (messages) => this.#admit(messages),
      onWrong: (error) => this.#tellWrong(error),
    });
    peers.onPublished((message) => this.#hear(message));
  }

  /** Whether the peer that was asked last has answered: who lets nobody in answers nothing. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** Whether what others know of this site's backups is known here: all others but one were asked, many, or those that were reached in an hour. */
  get hasAskedMost(): boolean {
    const others = this.#others();
    const askedCount = others.filter((site) => this.#askedMs.has(site)).length;
    return this.#isPatienceOver || askedCount >= Math.min(others.length - 1, ASKED_COUNT);
  }

  /** Whether this site is not cut off: in the last day it took over what half of the others have, or what many have. */
  get hearsMost(): boolean {
    const others = this.#others();
    const sinceMs = this.#components.clock.elapsedMs() - RECENT_MS;
    const heardCount = others.filter((site) => (this.#askedMs.get(site) ?? Number.NEGATIVE_INFINITY) >= sinceMs).length;
    return heardCount >= Math.min(Math.ceil(others.length / 2), ASKED_COUNT);
  }

  #others(): SiteId[] {
    const { membership, ownLog } = this.#components;
    return membership.sites().filter((site) => site !== ownLog.log.certificate.siteId);
  }

  /** Called when the own log may be written, if it had to wait for that, and when most were asked. */
  onReady(listener: () => void): void {
    this.#readyListeners.push(listener);
  }

  /** Rounds go on until the signal. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    for (const peer of this.#components.peers.connected()) void this.with(peer);
    void this.#goOn(signal);
  }

  /** Tells the members of an entry of this site, and a little later that there is one, in case it was lost. */
  spread(entry: Uint8Array): void {
    const { peers, ownLog, ledger, membership } = this.#components;
    peers.publish(gossipMessage(entry, ownLog.log.bytes));
    void this.#once("tell", TELL_MS, async () => {
      const [log, roster] = [ownLog.log.id, membership.roster?.hash];
      const last = ledger.log(log)?.lastSeq;
      if (last !== undefined && roster !== undefined) peers.publish(lastMessage({ log, last, roster }));
    });
  }

  /** Takes over what the peer has; whether that was done. Who calls meanwhile gets the answer of the round under way. */
  with(peer: PeerKey): Promise<boolean> {
    const under = this.#asking.get(peer);
    if (under !== undefined) return under;
    const round = this.#pull(peer).finally(() => this.#asking.delete(peer));
    this.#asking.set(peer, round);
    return round;
  }

  /**
   * Before something is done with a site: takes over what it has, unless that was done within the last minute. Who asks goes on in any
   * case: when it fails, or has not come to an end after half a minute.
   */
  async catchUp(site: SiteId, signal: AbortSignal): Promise<void> {
    const { clock, membership } = this.#components;
    const peer = membership.peerOf(site);
    if (peer === undefined || clock.elapsedMs() - (this.#askedMs.get(site) ?? Number.NEGATIVE_INFINITY) < FRESH_MS)
      return;
    const ended = new AbortController();
    const patience = clock.sleep(CATCH_UP_MS, AbortSignal.any([signal, ended.signal]));
    await Promise.race([this.with(peer), patience.catch(() => undefined)]);
    ended.abort();
  }

  /** A site that has a roster that is not known here: one at a time. */
  soonWith(site: SiteId): void {
    void this.#once("roster", SITE_SOON_MS, () => this.#withSite(site));
  }

  async #pull(peer: PeerKey): Promise<boolean> {
    const { peers, ledger, membership, clock, onEvent } = this.#components;
    const signal = this.#signal;
    if (signal === undefined || signal.aborted || membership.roster === undefined) return false;
    // A peer that takes the question and never answers must not keep this site from asking others.
    const reason = (): Error => new CostorError("peer-unreachable", "the peer does not come to an end");
    using round = new Deadline({ clock }, { afterMs: MOST_MS, signal, reason });
    try {
      const channel = await peers.open(peer, ledgerProtocol, round.signal);
      await pullFrom(channel, { ledger, membership }, round.signal);
      this.#isAnswered = true;
      this.#hasAsked(peer, signal);
      return true;
    } catch (error) {
      if (this.#isAnswered) this.#soon();
      this.#isAnswered = false;
      if (!signal.aborted) onEvent({ event: "sync-failed", peer, error });
      return false;
    }
  }

  /** The own log may be written when all others were asked, or all that were reached in the time for it. */
  #hasAsked(peer: PeerKey, signal: AbortSignal): void {
    const { membership, clock } = this.#components;
    const isFirst = this.#askedMs.size === 0;
    const site = membership.siteOfPeer(peer);
    const hadAskedMost = this.hasAskedMost;
    if (site !== undefined) this.#askedMs.set(site, clock.elapsedMs());
    if (this.#others().every((other) => this.#askedMs.has(other))) this.#mayWrite();
    else if (isFirst) this.#wait(clock, signal).catch(() => undefined);
    if (!hadAskedMost && this.hasAskedMost && this.#components.ownLog.isReady) this.#tellReady();
  }

  async #wait(clock: Clock, signal: AbortSignal): Promise<void> {
    await clock.sleep(FIRST_ROUNDS_MS, signal);
    this.#mayWrite();
    await clock.sleep(PATIENCE_MS, signal);
    this.#isPatienceOver = true;
    this.#tellReady();
  }

  #mayWrite(): void {
    const { ownLog } = this.#components;
    const wasReady = ownLog.isReady;
    ownLog.askedPeers(1);
    if (!wasReady) this.#tellReady();
  }

  #tellReady(): void {
    for (const listener of this.#readyListeners) listener();
  }

  #hear(message: Uint8Array): void {
    if (this.#signal === undefined || this.#signal.aborted) return;
    // What there is no room for is found when ledgers are compared.
    if (!this.#heard.add(message, this.#signal)) this.#soon();
  }

  async #admit(messages: readonly Uint8Array[]): Promise<void> {
    const { syncSoon, ahead } = await admitGossip(this.#components, ...messages);
    if (syncSoon) this.#soon();
    for (const site of ahead) this.#foundAhead(site);
  }

  /** Anybody may say it, of any site: one is asked in a minute, first of whom it was said last. */
  #foundAhead(site: SiteId): void {
    if (this.#components.membership.peerOf(site) === undefined) return;
    this.#ahead.delete(site);
    this.#ahead.add(site);
    if (!this.#due.has("site")) void this.#askAhead();
  }

  async #askAhead(): Promise<void> {
    const { clock, rng } = this.#components;
    const signal = this.#signal;
    if (signal === undefined) return;
    this.#due.add("site");
    try {
      while (this.#ahead.size > 0) {
        await clock.sleep(SITE_SOON_MS * (0.5 + rng.fraction()), signal);
        const [site] = [...this.#ahead].slice(-1);
        this.#ahead.delete(site!);
        await this.#withSite(site!);
        await clock.sleep(SOON_MS, signal);
      }
      this.#due.delete("site");
    } catch {
      // The signal ends it.
    }
  }

  /** Whoever passed it on is not known; what is wrong in it harms nobody. */
  #tellWrong(error: unknown): void {
    if (!isCostorError(error)) this.#components.onEvent({ event: "fault", error });
    else this.#components.onEvent({ event: "message-refused", error });
  }

  #soon(): void {
    void this.#once("anybody", 1.5 * SOON_MS, () => this.#withSomebody());
  }

  /** After a pause of so long on average. Whoever has reason for it meanwhile gives no other. */
  async #once(what: Due, pauseMs: number, work: () => Promise<unknown>): Promise<void> {
    const { clock, rng } = this.#components;
    const signal = this.#signal;
    if (signal === undefined || this.#due.has(what)) return;
    this.#due.add(what);
    try {
      await clock.sleep(pauseMs * (0.5 + rng.fraction()), signal);
      this.#due.delete(what);
      await work();
    } catch {
      // The signal ends it.
    }
  }

  async #withSite(site: SiteId): Promise<void> {
    const peer = this.#components.membership.peerOf(site);
    if (peer !== undefined) await this.with(peer);
  }

  async #goOn(signal: AbortSignal): Promise<void> {
    const { clock, rng } = this.#components;
    try {
      for (let isLeftOut = false; ;) {
        await clock.sleep(EVERY_MS * (0.5 + rng.fraction()), signal);
        // Another's question has told as much as this site's own would. Never twice in a row: who asks has chosen to.
        isLeftOut = this.#isSame && !isLeftOut;
        this.#isSame = false;
        if (!isLeftOut) await this.#withSomebody();
      }
    } catch {
      // The signal ends it.
    }
  }

  async #withSomebody(): Promise<void> {
    const { peers, rng } = this.#components;
    const connected = peers.connected();
    const peer = connected[Math.floor(rng.fraction() * connected.length)];
    if (peer !== undefined) await this.with(peer);
  }
}
