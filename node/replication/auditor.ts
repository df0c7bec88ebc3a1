/** Asks a holder to prove that it has what it says. docs/specs/replication.md, Audits. */
import {
  type AuditAnswer,
  type AuditCounts,
  addAudit,
  addCounts,
  auditAnswer,
  countAnswers,
  drawIndexes,
} from "#ledger/audit-sample.ts";
import type { Clock } from "#ledger/clock.ts";
import { Deadline } from "#ledger/deadline.ts";
import type { Channel, Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { decodeMessage, encodeMessage } from "./frame-codec.ts";
import { auditAnswerMessage, auditProtocol } from "./primes-messages.ts";
import { idsToBytes } from "./replicate-messages.ts";
import type { LedgerReader, OwnEntries, Sites } from "./replication-ports.ts";

export interface AuditorComponents {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly peers: Pick<Peers, "open">;
  readonly sites: Pick<Sites, "peerOf">;
  readonly ledger: Pick<LedgerReader, "statement" | "offer">;
  readonly entries: Pick<OwnEntries, "write">;
  readonly store: Pick<PrimeStore, "get">;
  readonly self: SiteId;
}

const NONCE_BYTES = 32;
/** Good news is told so often: entries are for ever, and there are many holders and nights. */
const TOLD_EVERY_MS = 7 * 24 * 3_600_000;

/** A slice of which the holder has given a receipt. */
export interface AuditedPart {
  /** For so many primes. */
  readonly count: number;
  /** Those of them that it may be asked for. */
  readonly ids: () => Promise<readonly PrimeId[]>;
}

export class Auditor {
  readonly #components: AuditorComponents;
  /** Good answers that the ledger was not told of, by holder and owner. */
  readonly #untold = new Map<string, AuditCounts>();

  constructor(components: AuditorComponents) {
    this.#components = components;
  }

  /**
   * Asks for primes drawn over all of what the holder has given receipts for, part by part, and adds what came to this site's
   * `audit` entry: at once where an answer was wrong or lacking, else once a week. Undefined when there is nothing to ask for. Throws `peer-unreachable` when it cannot be asked.
   */
  async audit(
    holder: SiteId,
    owner: SiteId,
    parts: readonly AuditedPart[],
    signal?: AbortSignal,
  ): Promise<AuditCounts | undefined> {
    const { clock, entries, ledger, peers, rng, self, sites } = this.#components;
    const peer = sites.peerOf(holder);
    if (peer === undefined) throw new CostorError("peer-unreachable", `the machine of site ${holder} is not known`);
    const nonce = rng.bytes(NONCE_BYTES);
    const asked = await this.#expected(await this.#draw(parts), nonce, holder);
    if (asked.length === 0) return undefined;
    const channel = await peers.open(peer, auditProtocol, signal);
    const answers = await this.#ask(channel, { owner, nonce, ids: asked.map(({ id }) => id) }, signal);
    const expected = asked.map(({ answer }) => answer);
    const saysLost = ({ id }: { readonly id: PrimeId }): boolean =>
      ledger.statement(holder, "loss", `${owner}/${sliceOf(id)}`) !== undefined;
    // Who says in the ledger that it has lost something is not proven wrong by it: its copy counts for nothing as it is.
    const given = answers.map((answer, at) => (answer === null && saysLost(asked[at]!) ? undefined : answer));
    const counts = countAnswers(expected, given);
    const subject = `${holder}/${owner}`;
    const before = ledger.statement(self, "audit", subject);
    const nowMs = clock.now();
    const untold = addCounts(this.#untold.get(subject), counts);
    const isTold = before !== undefined && Math.abs(nowMs - before.timeMs) < TOLD_EVERY_MS;
    this.#untold.set(subject, untold);
    if (isTold && counts.rightCount === counts.askedCount) return counts;
    await entries.write({ kind: "audit", holder, owner, ...addAudit(before?.statement, untold, nowMs) });
    this.#untold.delete(subject);
    return counts;
  }

  async #draw(parts: readonly AuditedPart[]): Promise<PrimeId[]> {
    const all = parts.reduce((sum, { count }) => sum + count, 0);
    const indexes = drawIndexes(all, limits.auditPrimesCount, this.#components.rng);
    const drawn: PrimeId[] = [];
    let first = 0;
    for (const { count, ids } of parts) {
      const within = indexes.filter((index) => index >= first && index < first + count);
      const list = within.length === 0 ? [] : await ids();
      drawn.push(...drawIndexes(list.length, within.length, this.#components.rng).map((index) => list[index]!));
      first += count;
    }
    return drawn;
  }

  /** What the answers have to be; of primes that cannot be read here nothing is asked. */
  async #expected(ids: readonly PrimeId[], nonce: Uint8Array, holder: SiteId) {
    const expected: { readonly id: PrimeId; readonly answer: Buffer }[] = [];
    for (const id of ids) {
      try {
        expected.push({ id, answer: auditAnswer(nonce, holder, await this.#components.store.get(id)) });
      } catch (error) {
        if (!isCostorError(error, "prime-missing") && !isCostorError(error, "prime-corrupt")) throw error;
      }
    }
    return expected;
  }

  async #ask(
    channel: Channel,
    { owner, nonce, ids }: { owner: SiteId; nonce: Uint8Array; ids: readonly PrimeId[] },
    signal: AbortSignal | undefined,
  ): Promise<AuditAnswer[]> {
    const answers: AuditAnswer[] = [];
    try {
      await channel.send(
        encodeMessage({ kind: "audit", owner: Buffer.from(owner, "hex"), nonce, ids: idsToBytes(ids) }),
      );
      while (answers.length < ids.length) {
        const frame = await this.#inTime(channel, signal);
        const message = frame && decodeMessage(frame, auditAnswerMessage);
        if (message?.kind !== "answer") break;
        if (message.loss !== undefined) await this.#components.ledger.offer({ entries: [message.loss] });
        answers.push(message.answer);
      }
      await channel.close();
    } catch (error) {
      signal?.throwIfAborted();
      // What did not come, or made no sense, is no answer.
      if (!(error instanceof CostorError)) throw error;
    } finally {
      channel.abort();
    }
    return answers;
  }

  /** Undefined when it takes too long, or the channel has ended. */
  async #inTime(channel: Channel, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const reason = (): Error => new CostorError("peer-unreachable", "the holder takes too long to answer");
    using deadline = new Deadline(this.#components, { afterMs: limits.auditAnswerMs, signal, reason });
    try {
      return await channel.receive(deadline.signal);
    } catch (error) {
      if (deadline.isOver && signal?.aborted !== true) return undefined;
      throw error;
    }
  }
}
