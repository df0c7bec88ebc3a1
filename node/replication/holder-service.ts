/** Serves `/costor/replicate/1`: keeps what owners and stewards send. docs/specs/replication.md, A run. */
import type { Clock } from "#ledger/clock.ts";
import type { Channel, Peers } from "#ledger/peers.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { AnswersInOrder } from "./answers-in-order.ts";
import { type HolderComponents, HolderRun } from "./holder-run.ts";
import { ReceiptRate } from "./receipt-rate.ts";
import type { OnRefused, Sites } from "./replication-ports.ts";
import { refusalOf, replicateProtocol } from "./replicate-messages.ts";

export interface HolderServiceComponents extends Omit<HolderComponents, "receiptRate"> {
  readonly clock: Pick<Clock, "elapsedMs">;
  readonly peers: Pick<Peers, "serve">;
  readonly sites: Pick<Sites, "siteOfPeer">;
  readonly onRefused?: OnRefused;
}

/** Two, so that one slice is on its way while another one becomes durable; more would only disturb each other. */
const RUNS_PER_PEER_COUNT = 2;

export class HolderService {
  readonly #components: HolderServiceComponents & HolderComponents;
  #abort: AbortController | undefined;
  /** Runs under way. */
  readonly #running = new Map<PeerKey, number>();

  constructor(components: HolderServiceComponents) {
    this.#components = { ...components, receiptRate: new ReceiptRate(components) };
    components.peers.serve(replicateProtocol, (channel) => this.#serve(channel));
  }

  /** Until then, and after the signal, all runs are refused. */
  start(signal: AbortSignal): void {
    this.#abort = new AbortController();
    signal.addEventListener("abort", () => this.#abort?.abort(signal.reason), { once: true });
  }

  async #serve(channel: Channel): Promise<void> {
    try {
      await this.#run(channel);
    } catch (error) {
      // So that the other side knows why; the channel ends in any case.
      await channel.send(refusalOf(error)).catch(() => undefined);
      if (!isExpected(error)) throw error;
      this.#components.onRefused?.(channel.peer, replicateProtocol, error);
      await channel.close();
    }
  }

  async #run(channel: Channel): Promise<void> {
    const signal = this.#abort?.signal;
    if (signal === undefined || signal.aborted) throw new CostorError("too-many-requests", "this site is not ready");
    const sender = this.#components.sites.siteOfPeer(channel.peer);
    if (sender === undefined) throw new CostorError("peer-refused", "not the current machine of a member or guest");
    const runsCount = this.#running.get(channel.peer) ?? 0;
    if (runsCount >= RUNS_PER_PEER_COUNT)
      throw new CostorError("too-many-requests", `${RUNS_PER_PEER_COUNT} runs of this peer are under way`);
    this.#running.set(channel.peer, runsCount + 1);
    const onRefused = (error: CostorError): void =>
      this.#components.onRefused?.(channel.peer, replicateProtocol, error);
    await using run = new HolderRun(this.#components, { sender, onRefused });
    const failed = new AbortController();
    const answers = new AnswersInOrder({ channel }, { onFailure: (error) => failed.abort(error) });
    const ending = AbortSignal.any([signal, failed.signal]);
    try {
      let coming = channel.receive(ending);
      for (let frame = await coming; frame !== undefined; frame = await coming) {
        // The next one comes while this one waits for its turn.
        coming = channel.receive(ending);
        coming.catch(() => undefined);
        const { answer } = await run.take(frame);
        await answers.add(answer);
      }
    } finally {
      this.#running.set(channel.peer, this.#running.get(channel.peer)! - 1);
      // Also when a frame is refused: what came before it has its answers. What of that failed first is why the run ends.
      await answers.sent();
    }
  }
}

/** What is to be said and need not be logged as a fault of the run: that this site lacks room or may not write is known here. */
const EXPECTED = ["peer-refused", "too-many-requests", "quota-exceeded", "store-full", "ledger-refused"] as const;
const isExpected = (error: unknown): error is CostorError => EXPECTED.some((code) => isCostorError(error, code));
