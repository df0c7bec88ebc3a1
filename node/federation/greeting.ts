/**
 * Machines of new epochs: this one makes itself known to sites that know only the machine before it, meets those of others, and hears when
 * another one has taken its own place. Anybody may ask, so only so many are listened to. docs/specs/membership.md, "A new machine"
 */
import type { Clock } from "#ledger/clock.ts";
import type { Log } from "#ledger/entry.ts";
import { answerHello, helloProtocol, sayHello } from "#ledger/hello.ts";
import { answerRecover, recoverProtocol } from "#ledger/recover.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { Channel } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { RecentCount } from "#node/site/recent-count.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { FederationEvent } from "./federation-event.ts";
import type { Transport } from "./transport.ts";

export interface GreetingComponents {
  readonly ledger: Ledger;
  readonly membership: Membership;
  readonly transport: Pick<Transport, "serve" | "open" | "connected" | "onConnected" | "membershipChanged">;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Whether others answer this machine: a connection alone tells nothing, since strangers are let in to say hello. */
  readonly isAnswered: () => boolean;
  /** Somebody knows this machine now. */
  readonly onKnown: (peer: PeerKey) => unknown;
  readonly onEvent: (event: FederationEvent) => void;
}

const MINUTE_MS = 60_000;
/** In which others are reached, and have let this machine in or not. */
const FIRST_PAUSE_MS = 10_000;
/** Pauses grow while nobody new listens: a machine whose site has left may say hello for ever. */
const PAUSE_GROWTH = 1.5;
const MOST_PAUSE_MS = 15 * MINUTE_MS;
/** When nobody is to be greeted, and of a machine that others answer: they do when ledgers are compared. */
const IN_PAUSE_MS = 15 * MINUTE_MS;
/** Sites that are told in one round. */
const AT_ONCE_COUNT = 12;

export class Greeting {
  readonly #components: GreetingComponents;
  readonly #log: Log;
  /** Machines that know this one. */
  readonly #knownBy = new Set<PeerKey>();
  readonly #refusedBy = new Set<PeerKey>();
  readonly #underWay = new Set<PeerKey>();
  #signal: AbortSignal | undefined;
  readonly #heard: RecentCount;

  /** Before the transport is started. `log` is that of this machine. */
  constructor(components: GreetingComponents, { log }: { log: Log }) {
    this.#components = components;
    this.#log = log;
    this.#heard = new RecentCount(components, { mostCount: limits.strangersPerMinuteCount, withinMs: MINUTE_MS });
    const { ledger, membership, transport } = components;
    transport.onConnected((peer) => this.#meet(peer));
    transport.serve(helloProtocol, (channel) => this.#hear(channel));
    const listen = (): void => this.#listen();
    transport.serve(recoverProtocol, (channel) => answerRecover(channel, { ledger, membership, log, listen }));
  }

  /** Goes on until the signal. The machine of a first epoch and kit comes by its invitation, and asks only when nobody lets it in. */
  async start(signal: AbortSignal): Promise<void> {
    const { clock, rng, isAnswered, membership, onEvent } = this.#components;
    this.#signal = signal;
    try {
      let pauseMs = FIRST_PAUSE_MS;
      for (let isStart = true; ; isStart = false) {
        const isIn = isStart || membership.roster === undefined || isAnswered();
        const knownCount = this.#knownBy.size;
        const isLetIn = this.#isFirst && isIn;
        const hasGreeted = !isLetIn && (await this.#round(signal));
        // Another machine may have taken its place while it was off.
        const leftMs = hasGreeted ? pauseMs : isStart ? FIRST_PAUSE_MS : IN_PAUSE_MS;
        const isHeard = !hasGreeted || this.#knownBy.size > knownCount;
        pauseMs = isHeard ? FIRST_PAUSE_MS : Math.min(PAUSE_GROWTH * pauseMs, MOST_PAUSE_MS);
        await clock.sleep(leftMs * (0.5 + rng.fraction()), signal);
      }
    } catch (error) {
      if (!signal.aborted) onEvent({ event: "fault", error });
    }
  }

  get #isFirst(): boolean {
    const { epoch, chain } = this.#log.certificate;
    return epoch === 1 && chain.length === 0;
  }

  /** Who was not reached before need not wait for the next round. Who has refused this machine waits for it. */
  #meet(peer: PeerKey): void {
    const signal = this.#signal;
    if (this.#isFirst || signal === undefined || this.#knownBy.has(peer) || this.#refusedBy.has(peer)) return;
    this.#greet(peer, signal).catch((error: unknown) => {
      if (!signal.aborted) this.#components.onEvent({ event: "fault", error });
    });
  }

  /**
   * All sites. Of many those that are connected, once one of them knows this machine: what it says then spreads. Of few all that know it may
   * be on one side of a cut, and have new machines too, whom nobody on the other side knows. Whether there was anybody to greet.
   */
  async #round(signal: AbortSignal): Promise<boolean> {
    const { transport, membership, rng } = this.#components;
    const areFew = membership.sites().length <= limits.peerKeptCount;
    const connected = transport.connected();
    const all = this.#knownBy.size > 0 && !areFew ? connected : this.#others();
    // Few are all connected: one that is not may have forgotten this machine with an older disk.
    const isToGreet = (peer: PeerKey): boolean => !this.#knownBy.has(peer) || (areFew && !connected.includes(peer));
    const waiting = all.filter((peer) => isToGreet(peer) && membership.peerMayConnect(peer));
    let hasGreeted = false;
    for (let count = 0; count < AT_ONCE_COUNT && waiting.length > 0; count++) {
      const [peer] = waiting.splice(Math.floor(rng.fraction() * waiting.length), 1);
      await this.#greet(peer!, signal);
      hasGreeted = true;
    }
    return hasGreeted;
  }

  #others(): PeerKey[] {
    const { membership } = this.#components;
    const self = this.#log.certificate.siteId;
    return membership.sites().flatMap((site) => (site === self ? [] : (membership.peerOf(site) ?? [])));
  }

  async #greet(peer: PeerKey, signal: AbortSignal): Promise<void> {
    const { ledger, transport, onKnown } = this.#components;
    if (this.#underWay.has(peer)) return;
    this.#underWay.add(peer);
    try {
      const channel = await transport.open(peer, helloProtocol, signal);
      const { isKnown, newer } = await sayHello(channel, this.#log, signal);
      if (newer !== undefined) await ledger.offer({ certificates: [newer.bytes] });
      if (!isKnown) return void this.#refusedBy.add(peer);
      this.#refusedBy.delete(peer);
      this.#knownBy.add(peer);
      transport.membershipChanged();
      onKnown(peer);
    } catch (error) {
      // Others are asked meanwhile, and this one again.
      if (!isCostorError(error)) throw error;
    } finally {
      this.#underWay.delete(peer);
    }
  }

  async #hear(channel: Channel): Promise<void> {
    const { ledger, membership, transport } = this.#components;
    const listen = (): void => this.#listen();
    if (await answerHello(channel, { ledger, membership, listen })) transport.membershipChanged();
  }

  /** Throws `too-many-requests`. */
  #listen(): void {
    if (this.#heard.isFull) throw new CostorError("too-many-requests", "too many say hello");
    this.#heard.add();
  }
}
