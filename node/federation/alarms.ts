/** What people should look at, and since when: one line for each, until it is over. */
import type { Clock } from "#ledger/clock.ts";

const FULL_LEDGER_RATIO = 0.8;

export interface Alarm {
  readonly code: string;
  /** One sentence for a person. */
  readonly text: string;
  readonly sinceMs: number;
}

/** Of the part that a site has used of what it may say in the ledger: before it is full, when none of its backups becomes safe any more. */
export const fullLedgerAlarms = (usedRatio: number): Pick<Alarm, "code" | "text">[] =>
  usedRatio < FULL_LEDGER_RATIO
    ? []
    : [
        {
          code: "ledger-nearly-full",
          text: `this site's records take ${Math.floor(100 * usedRatio)} % of the room that the other sites give them, and without room no backup becomes safe: back up less often, or keep fewer snapshots (costor site retention)`,
        },
      ];

export class Alarms {
  readonly #clock: Pick<Clock, "now">;
  readonly #sinceMs = new Map<string, number>();

  constructor(components: { clock: Pick<Clock, "now"> }) {
    this.#clock = components.clock;
  }

  /** Those that hold now, each since it was first seen. */
  list(holding: readonly { readonly code: string; readonly text: string }[]): Alarm[] {
    const keys = new Set(holding.map(({ code, text }) => `${code} ${text}`));
    for (const key of this.#sinceMs.keys()) if (!keys.has(key)) this.#sinceMs.delete(key);
    return holding.map(({ code, text }) => {
      const key = `${code} ${text}`;
      const sinceMs = this.#sinceMs.get(key) ?? this.#clock.now();
      this.#sinceMs.set(key, sinceMs);
      return { code, text, sinceMs };
    });
  }
}
