/** What of what is forbidden was tried in a tamper drill, and how it ended. */
import type { CostorError } from "#protocol/errors.ts";

export interface Refusal {
  /** What was tried, for people. */
  readonly what: string;
  /** The code of the answer. */
  readonly code: string;
}

export class ForbiddenCalls {
  readonly refusals: Refusal[] = [];
  readonly failures: { what: string; message: string }[] = [];

  /** `answer`: the code that refused it, undefined when nothing did. Another code than what is due proves nothing about what was tried. */
  note(what: string, answer: string | undefined, due: readonly string[]): void {
    if (answer !== undefined && due.includes(answer)) this.refusals.push({ what, code: answer });
    else if (answer === undefined) this.failed(what, "it was NOT refused");
    else this.failed(what, `it was answered with ${answer} where ${due.join(" or ")} is due`);
  }

  /** What must not be so, and is. */
  failed(what: string, message: string): void {
    this.failures.push({ what, message });
  }

  damaged(what: string, error: CostorError): void {
    this.failed(what, `${error.code}: ${error.message}`);
  }
}
