/** Errors that a real site would end by, or write into its log as a fault of CoStor. */
import { isCostorError } from "#protocol/errors.ts";
import { InvariantViolation } from "./invariant-violation.ts";

export class ProgramFaults implements Disposable {
  #first: InvariantViolation | undefined;
  readonly #listener = (error: unknown): void => this.#note("unhandled-error", error);

  constructor() {
    process.on("unhandledRejection", this.#listener);
  }

  /** What goes wrong in the world has a code; anything else is a fault of the program. */
  caught(error: unknown): void {
    if (!isCostorError(error) || error.code === "internal") this.#note("program-fault", error);
  }

  /** Throws the first. */
  check(): void {
    if (this.#first) throw this.#first;
  }

  [Symbol.dispose](): void {
    process.off("unhandledRejection", this.#listener);
  }

  #note(id: string, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#first ??= new InvariantViolation(id, text, error);
  }
}
