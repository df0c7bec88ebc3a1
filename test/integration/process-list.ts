/** What every program on the machine may read of the processes while a test runs: arguments and, of the same user's, environments. */
import { readFileSync, readdirSync } from "node:fs";

const EVERY_MS = 100;

export class ProcessList implements Disposable {
  readonly #seen = new Set<string>();
  readonly #timer = setInterval(() => this.#look(), EVERY_MS);

  /** All that was ever seen. */
  get text(): Buffer {
    this.#look();
    return Buffer.from([...this.#seen].join("\n"));
  }

  #look(): void {
    for (const pid of readdirSync("/proc"))
      if (/^\d+$/.test(pid) && Number(pid) !== process.pid)
        for (const name of ["cmdline", "environ"])
          try {
            this.#seen.add(readFileSync(`/proc/${pid}/${name}`, "latin1"));
          } catch {
            // It has ended, or is another user's.
          }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
