/**
 * What a person sees of the demo: its steps as lines that stay, and below them, on a terminal, a table of the sites that is
 * drawn anew. Elsewhere a plain line now and then says how far it is.
 */
import { formatBytes, formatDuration } from "#terminal/quantities.ts";
import { withoutEscapes } from "#terminal/output.ts";

export interface SiteRow {
  readonly name: string;
  /** Running, stopped, wiped … */
  readonly state: string;
  readonly role: string;
  readonly reachedCount: number;
  readonly storedCount: number;
  readonly safeCount: number;
  readonly ownBytes: number;
  readonly keptBytes: number;
  readonly behindBytes: number;
}

interface LiveViewInit {
  readonly stream: NodeJS.WriteStream;
  readonly nowMs: () => number;
}

const PLAIN_INTERVAL_MS = 5_000;
const TITLES = ["SITE", "STATE", "ROLE", "REACHES", "SNAPSHOTS", "SAFE", "OWN", "KEPT FOR OTHERS", "TO SEND"] as const;

export class LiveView implements Disposable {
  readonly #init: LiveViewInit;
  readonly #startedMs: number;
  #drawnCount = 0;
  #plainMs = Number.NEGATIVE_INFINITY;

  constructor(init: LiveViewInit) {
    this.#init = init;
    this.#startedMs = init.nowMs();
  }

  /** A line that stays. */
  say(text: string): void {
    this.#erase();
    this.#init.stream.write(`${this.#clock()}  ${withoutEscapes(text)}\n`);
  }

  /** How it is now; `doing` says what is waited for. */
  show(rows: readonly SiteRow[], doing: string): void {
    const { stream, nowMs } = this.#init;
    if (stream.isTTY) return this.#draw(tableOf(rows), doing);
    if (nowMs() - this.#plainMs < PLAIN_INTERVAL_MS) return;
    this.#plainMs = nowMs();
    const sites = rows.map(({ name, state, safeCount, storedCount }) =>
      state === "runs" ? `${name} ${safeCount}/${storedCount}` : `${name} ${state}`,
    );
    stream.write(`${this.#clock()}    … ${doing} (safe of stored: ${sites.join(", ")})\n`);
  }

  /** Takes the table away. */
  [Symbol.dispose](): void {
    this.#erase();
  }

  #draw(table: readonly string[], doing: string): void {
    const { stream } = this.#init;
    const width = Math.max(20, stream.columns - 1);
    const lines = ["", ...table, "", `${this.#clock()}  … ${doing}`].map((line) => line.slice(0, width));
    this.#erase();
    stream.write(`${lines.join("\n")}\n`);
    this.#drawnCount = lines.length;
  }

  #erase(): void {
    if (this.#drawnCount === 0) return;
    const { stream } = this.#init;
    stream.moveCursor(0, -this.#drawnCount);
    stream.cursorTo(0);
    stream.clearScreenDown();
    this.#drawnCount = 0;
  }

  #clock(): string {
    return formatDuration(this.#init.nowMs() - this.#startedMs).padStart(9);
  }
}

function tableOf(rows: readonly SiteRow[]): string[] {
  const cells = rows.map((row) => [
    row.name,
    row.state,
    row.role,
    `${row.reachedCount}`,
    `${row.storedCount}`,
    `${row.safeCount}`,
    formatBytes(row.ownBytes),
    formatBytes(row.keptBytes),
    row.behindBytes === 0 ? "-" : formatBytes(row.behindBytes),
  ]);
  const all = [[...TITLES], ...cells];
  const widths = TITLES.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  return all.map((line) => line.map((cell, column) => cell.padEnd(widths[column]!)).join("  "));
}
