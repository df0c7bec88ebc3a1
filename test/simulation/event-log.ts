/** What happened, as a running hash: two runs of a seed that end with one hash did the same, event for event. */
import { createHash } from "node:crypto";

/** The last lines are kept for whoever looks at a failure. */
const KEPT_COUNT = 200;
const AT_ONCE_CHARACTERS = 16 * 1024;

export class EventLog {
  readonly #hash = createHash("sha256");
  readonly #last: string[] = [];
  readonly #now: () => number;
  #count = 0;
  /** Lines that are not in the hash yet: it takes many at once much faster. */
  #fresh = "";

  /** `now` is true time. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get count(): number {
    return this.#count;
  }

  note(who: string, what: string): void {
    const line = `${this.#now()} ${who} ${what}\n`;
    this.#fresh += line;
    if (this.#fresh.length > AT_ONCE_CHARACTERS) this.#addFresh();
    this.#last[this.#count++ % KEPT_COUNT] = line;
  }

  /** 64 hex digits, of everything so far. */
  hash(): string {
    this.#addFresh();
    return this.#hash.copy().digest("hex");
  }

  #addFresh(): void {
    this.#hash.update(this.#fresh);
    this.#fresh = "";
  }

  lastLines(): string[] {
    const at = this.#count % KEPT_COUNT;
    return this.#count < KEPT_COUNT ? [...this.#last] : [...this.#last.slice(at), ...this.#last.slice(0, at)];
  }
}
