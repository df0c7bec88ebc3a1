/** How a command that failed says so: code, message and next step, as text or, with --json, as one JSON line on stderr. */
import { styleText } from "node:util";
import { CostorError } from "#protocol/errors.ts";
import { exitCodes } from "./exit-codes.ts";
import { withoutEscapes } from "./output.ts";

export interface FailureReport {
  readonly code: string;
  readonly message: string;
  readonly help: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly exitCode: number;
}

const usageCodes: readonly string[] = ["bad-usage", "bad-config", "bad-token", "bad-id"];

function describeFailure(error: unknown): FailureReport {
  if (isSystemError(error)) return describeFailure(new CostorError("path-unusable", error.message, { cause: error }));
  if (!(error instanceof CostorError)) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return describeFailure(new CostorError("internal", message, { cause: error }));
  }
  const exitCode =
    error.code === "interrupted"
      ? exitCodes.interrupted
      : usageCodes.includes(error.code)
        ? exitCodes.usage
        : exitCodes.failed;
  return { code: error.code, message: withCauses(error), help: error.help, details: error.details, exitCode };
}

/** Of the operating system, about a file that somebody has named. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && "syscall" in error && "path" in error;

/** Prints the failure to stderr and returns the exit code that belongs to it. */
export function printFailure(error: unknown, options: { readonly json: boolean }): number {
  const report = describeFailure(error);
  if (options.json) {
    process.stderr.write(
      `${JSON.stringify({ error: report }, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value))}\n`,
    );
  } else {
    const code = styleText("red", report.code, { stream: process.stderr });
    process.stderr.write(`costor: ${code}: ${withoutEscapes(report.message)}\n  ${report.help}\n`);
  }
  return report.exitCode;
}

/** The message with those of its causes that it does not repeat already. */
function withCauses(error: Error): string {
  let text = error.message;
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    if (!text.includes(cause.message)) text += `: ${cause.message}`;
  }
  return text;
}
