/** How fast this site's copies go to each holder, measured while they do, and said in the ledger for forecasts. */
import type { Clock } from "#ledger/clock.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Statement } from "#ledger/statements.ts";
import type { ReplicatorEvent } from "#node/replication/replicator.ts";
import type { SiteId } from "#protocol/ids.ts";

export interface LinkSpeedComponents {
  readonly clock: Pick<Clock, "now" | "elapsedMs">;
  readonly ledger: Pick<Ledger, "statement">;
  readonly entries: { write(statement: Statement): Promise<unknown> };
  readonly onFailure: (error: unknown) => void;
}

/** Less says more of the way there and back than of the line. */
const MEASURED_BYTES = 8 * 1024 * 1024;
/** Entries are for ever: a speed is said again when it is another one. */
const CHANGE_FACTOR = 1.5;

interface Run {
  /** Of the first news of a run: what came before is no part of the time. */
  readonly beganMs: number;
  readonly beganBytes: number;
  readonly nowMs: number;
  readonly nowBytes: number;
}

export class LinkSpeeds {
  readonly #components: LinkSpeedComponents;
  readonly #self: SiteId;
  readonly #runs = new Map<SiteId, Run>();

  constructor(components: LinkSpeedComponents, init: { self: SiteId }) {
    this.#components = components;
    this.#self = init.self;
  }

  follow(event: ReplicatorEvent): void {
    if (event.event === "run-progress") {
      const [nowMs, nowBytes] = [this.#components.clock.elapsedMs(), event.progress.keptBytes];
      const { beganMs, beganBytes } = this.#runs.get(event.holder) ?? { beganMs: nowMs, beganBytes: nowBytes };
      this.#runs.set(event.holder, { beganMs, beganBytes, nowMs, nowBytes });
    } else if (event.event !== "audit-failed") {
      const run = this.#runs.get(event.holder);
      this.#runs.delete(event.holder);
      if (run !== undefined) this.#note(event.holder, run);
    }
  }

  #note(holder: SiteId, { beganMs, beganBytes, nowMs, nowBytes }: Run): void {
    if (nowBytes - beganBytes < MEASURED_BYTES || nowMs <= beganMs) return;
    const { clock, ledger, entries, onFailure } = this.#components;
    const bytesPerSecond = Math.max(1, Math.round(((nowBytes - beganBytes) / (nowMs - beganMs)) * 1000));
    const said = ledger.statement(this.#self, "link", holder)?.statement.bytesPerSecond;
    if (said !== undefined && Math.max(said / bytesPerSecond, bytesPerSecond / said) < CHANGE_FACTOR) return;
    entries.write({ kind: "link", site: holder, bytesPerSecond, measuredMs: clock.now() }).catch(onFailure);
  }
}
