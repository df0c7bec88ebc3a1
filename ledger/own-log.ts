/**
 * The log that this machine writes for its site. docs/specs/ledger.md, "Durability"
 *
 * Invariant: it writes nothing before it has asked others for what it may have lost, and nothing more once it has seen that
 * another machine is this site too. What it finds before its first entry after a start is its own, and is led back; later such
 * an entry is another's.
 */
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type LogId, makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Clock } from "./clock.ts";
import { type Log, compareLogs } from "./entry.ts";
import type { LedgerStore } from "./ledger-store.ts";
import type { Ledger } from "./ledger.ts";
import type { Membership } from "./membership.ts";
import type { Rng } from "./rng.ts";
import type { Stated } from "./site-state.ts";
import { SeqRanges } from "./seq-ranges.ts";
import {
  type HeldStatement,
  type PlainStatement,
  SEVERAL_KIND,
  type Statement,
  type StatementKind,
  entryOf,
  subjectOf,
} from "./statements.ts";

export interface OwnLogInit {
  readonly log: Log;
  readonly peerSeed: Uint8Array;
}

interface Kept {
  readonly hasForeign: boolean;
  readonly wasLedBack: boolean;
}

export interface OwnLogComponents {
  readonly ledger: Ledger;
  readonly membership: Pick<Membership, "sites">;
  readonly store: LedgerStore;
  readonly clock: Pick<Clock, "now">;
  readonly rng: Pick<Rng, "bytes">;
}

/** Why this machine may not be the only one that acts as the site. */
export type Suspicion = "fork" | "newer-log" | "foreign-entry";

type AnyStated = Pick<Stated<StatementKind>, "logId" | "seq" | "statements" | "statement">;

const FOREIGN_KEY = "own/foreign";
const LED_BACK_KEY = "own/led-back";
const REGAINED_KEY = "own/regained";
const NEARLY_FULL_RATIO = 0.95;

export class OwnLog {
  readonly log: Log;
  readonly #components: OwnLogComponents;
  readonly #peerSeed: Uint8Array;
  #hasAsked = false;
  #hasWritten = false;
  #hasForeign: boolean;
  #wasLedBack: boolean;

  private constructor(components: OwnLogComponents, init: OwnLogInit & Pick<Kept, "hasForeign" | "wasLedBack">) {
    this.#components = components;
    this.log = init.log;
    this.#peerSeed = init.peerSeed;
    this.#hasForeign = init.hasForeign;
    this.#wasLedBack = init.wasLedBack;
    components.ledger.onAdmitted(({ logId, own }) => {
      if (logId !== this.log.id || own) return;
      if (this.#hasWritten) this.#foundForeign();
      else this.#ledBack();
    });
  }

  /** `log` is that of this machine's certificate, `peerSeed` its private key. */
  static async open(components: OwnLogComponents, init: OwnLogInit): Promise<OwnLog> {
    const isNoted = async (key: string): Promise<boolean> => {
      const kept = await components.store.get(key);
      return kept !== undefined && decodeCbor(kept) === init.log.id;
    };
    const hasForeign = await isNoted(FOREIGN_KEY);
    const isNew = init.log.certificate.epoch > 1 && !(await isNoted(REGAINED_KEY));
    return new OwnLog(components, { ...init, hasForeign, wasLedBack: isNew || (await isNoted(LED_BACK_KEY)) });
  }

  /**
   * What the site keeps may be less than what it has told others: they had entries of this log that were not here, or this machine
   * came after another one. Until it was regained.
   */
  get wasLedBack(): boolean {
    return this.#wasLedBack;
  }

  /** All that was there when the newest entries were written is here again. Entries that come meanwhile say anew that it is not. */
  async regained(): Promise<void> {
    this.#wasLedBack = false;
    try {
      await this.#components.store.write([
        { key: LED_BACK_KEY, value: encodeCbor(null) },
        { key: REGAINED_KEY, value: encodeCbor(this.log.id) },
      ]);
    } catch (error) {
      this.#wasLedBack = true;
      throw error;
    }
  }

  get suspicion(): Suspicion | undefined {
    const { ledger } = this.#components;
    const current = ledger.currentLog(this.log.certificate.siteId)?.log;
    if (ledger.log(this.log.id)?.fork !== undefined) return "fork";
    if (current !== undefined && compareLogs(current, this.log) < 0) return "newer-log";
    return this.#hasForeign ? "foreign-entry" : undefined;
  }

  /** Whether it has asked as it must before it writes; a site that is alone has nobody to ask. */
  get isReady(): boolean {
    const { siteId } = this.log.certificate;
    return this.#hasAsked || this.#hasWritten || this.#components.membership.sites().every((other) => other === siteId);
  }

  /** To be called after the ledger was synchronised with so many peers since the start. */
  askedPeers(count: number): void {
    if (count > 0) this.#hasAsked = true;
  }

  /** As {@link writeAll}. */
  write(statement: Statement): Promise<Uint8Array> {
    return this.writeAll([statement]);
  }

  /**
   * Says all of it in one entry; more than one have to be {@link PlainStatement}s. Resolves with the entry once it is durable. Throws
   * `ledger-waiting` before anybody was asked, `ledger-refused` under suspicion, `limit-exceeded`.
   */
  async writeAll(statements: readonly Statement[]): Promise<Uint8Array> {
    const { suspicion } = this;
    if (suspicion !== undefined)
      throw new CostorError(
        "ledger-refused",
        `another machine may act as this site (${suspicion}); find out which one is right before either writes again`,
        {
          details: { suspicion },
        },
      );
    if (!this.isReady) throw new CostorError("ledger-waiting", "no other site was asked since the start");
    this.#hasWritten = true;
    const { ledger, clock, rng } = this.#components;
    const timeMs = clock.now();
    const id = parseEntryId(makeUuidV7(timeMs, (bytes) => bytes.set(rng.bytes(bytes.length))));
    return ledger.append(this.log, this.#peerSeed, { id, timeMs, ...entryOf(statements) });
  }

  /**
   * Withdraws this site's entries that newer ones have made idle, and `also`, when there are at least so many. The newest
   * retire for a log contains all earlier ones, which go with it. Resolves with the entries written.
   */
  async withdrawIdle({ also: given = [], leastCount = limits.supersededEntriesCount }: WithdrawInit = {}): Promise<
    Uint8Array[]
  > {
    const { ledger } = this.#components;
    const { siteId } = this.log.certificate;
    if (ledger.superseded(siteId).length + given.length < leastCount) return [];
    const also = [...given, ...this.#olderAbout(given)];
    const written = await this.#sayRestOf(also);
    // Its own last: retires for older logs are in it, and may be idle by then.
    const logIds = ledger.logsOf(siteId).map(({ log }) => log.id);
    for (const logId of logIds.toReversed()) {
      const idle = [...ledger.superseded(siteId), ...also].filter((place) => place.logId === logId);
      if (idle.length === 0) continue;
      const former = ledger.statement(siteId, "retire", logId);
      const ranges = SeqRanges.empty();
      for (const { seq } of former?.logId === logId ? [...idle, former] : idle) ranges.add(seq);
      ranges.addAll(ledger.log(logId)!.withdrawn);
      written.push(...(await this.#joinRanges(logId, ranges)));
      written.push(await this.write({ kind: "retire", logId, ranges }));
    }
    return written;
  }

  /** Entries that say something else that is in force, and something older of the same: it would be the newest again. */
  #olderAbout(also: readonly AnyStated[]): AnyStated[] {
    const { ledger } = this.#components;
    const going = new Set(also.map(({ statement }) => nameOf(statement)));
    if (going.size === 0) return [];
    return ledger.logsOf(this.log.certificate.siteId).flatMap((state) =>
      state.seqs(SEVERAL_KIND).flatMap((seq) => {
        const held = state.held(seq)!;
        const statement = held.statements.find((said) => going.has(nameOf(said)));
        return statement === undefined ? [] : [{ ...held, statement }];
      }),
    );
  }

  /** What else the entries say that are withdrawn for one thing, and no newer one says, is said again. */
  async #sayRestOf(also: readonly AnyStated[]): Promise<Uint8Array[]> {
    const going = new Set(also.map(({ statement }) => nameOf(statement)));
    const rest = new Map<string, PlainStatement>();
    for (const entry of also)
      for (const statement of entry.statements)
        if (this.#isInForce(statement, entry) && !going.has(nameOf(statement)))
          rest.set(nameOf(statement), statement as PlainStatement);
    const written: Uint8Array[] = [];
    const statements = [...rest.values()];
    for (let at = 0; at < statements.length; at += limits.statementsPerEntryCount)
      written.push(await this.writeAll(statements.slice(at, at + limits.statementsPerEntryCount)));
    return written;
  }

  /** While there are too many, says again at the end what is in force between them, the oldest first. */
  async #joinRanges(logId: LogId, ranges: SeqRanges): Promise<Uint8Array[]> {
    const { ledger } = this.#components;
    const written: Uint8Array[] = [];
    // A site that is nearly full makes room first: the retire is a longer one then.
    const isNearlyFull = ledger.usedRatio(this.log.certificate.siteId) > NEARLY_FULL_RATIO;
    if (ranges.ranges.length <= limits.retireRangesCount || isNearlyFull) return written;
    for (const seq of ledger.log(logId)!.seqs()) {
      // Half of them, so that it is not so again soon.
      if (ranges.ranges.length <= limits.retireRangesCount / 2) break;
      const statements = ranges.has(seq) ? [] : await ledger.wholeStatements(logId, seq);
      if (statements.length === 0) continue;
      // What a newer entry has made idle would be the newest again.
      const inForce = statements.filter((statement) => this.#isInForce(statement, { logId, seq }));
      if (inForce.length > 0) written.push(await this.writeAll(inForce));
      ranges.add(seq);
    }
    return written;
  }

  /** Whether no newer entry than the one at that place speaks of its subject. */
  #isInForce(statement: HeldStatement, { logId, seq }: Pick<AnyStated, "logId" | "seq">): boolean {
    const newest = this.#components.ledger.statement(this.log.certificate.siteId, statement.kind, subjectOf(statement));
    return newest?.logId === logId && newest.seq === seq;
  }

  #foundForeign(): void {
    if (this.#hasForeign) return;
    this.#hasForeign = true;
    this.#note(FOREIGN_KEY);
  }

  #ledBack(): void {
    if (this.#wasLedBack) return;
    this.#wasLedBack = true;
    this.#note(LED_BACK_KEY);
  }

  /** Known in memory at once; when it cannot be kept, the next such entry says it again. */
  #note(key: string): void {
    this.#components.store.write([{ key, value: encodeCbor(this.log.id) }]).catch(() => undefined);
  }
}

const nameOf = (statement: HeldStatement): string => `${statement.kind} ${subjectOf(statement)}`;

/** That the machine of `log` has lost what it had: from the next start on as {@link OwnLog.wasLedBack} says. */
export const noteLoss = (store: Pick<LedgerStore, "write">, log: Log): Promise<void> =>
  store.write([{ key: LED_BACK_KEY, value: encodeCbor(log.id) }]);

export interface WithdrawInit {
  /** What is to be taken back though no newer entry says otherwise. */
  readonly also?: readonly AnyStated[];
  readonly leastCount?: number;
}
