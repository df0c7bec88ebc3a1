/** What copies are on their way now, by holder: for people. */
import type { Clock } from "#ledger/clock.ts";
import type { ReplicatorEvent } from "#node/replication/replicator.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { SendingStatus } from "./federation-status.ts";

export class Sending {
  readonly #clock: Pick<Clock, "now">;
  readonly #byHolder = new Map<SiteId, SendingStatus>();

  constructor(components: { clock: Pick<Clock, "now"> }) {
    this.#clock = components.clock;
  }

  list(): SendingStatus[] {
    return [...this.#byHolder.values()];
  }

  follow(event: ReplicatorEvent): void {
    if (event.event === "run-progress") {
      const { holder } = event;
      const { slice, keptBytes } = event.progress;
      const sinceMs = this.#byHolder.get(holder)?.sinceMs ?? this.#clock.now();
      this.#byHolder.set(holder, { holder, slice, sentBytes: keptBytes, sinceMs });
    } else if (event.event !== "audit-failed") this.#byHolder.delete(event.holder);
  }
}
