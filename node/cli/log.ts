/** The site's log: JSON lines on stderr; on a terminal only what a person has to see. */
import { type Level, type Logger, pino } from "pino";
import { CostorError } from "#protocol/errors.ts";

const levels: readonly string[] = ["trace", "debug", "info", "warn", "error", "silent"];

/** Throws `bad-usage` for a level that is none. */
export function createLog(level: string): Logger {
  if (!levels.includes(level))
    throw new CostorError("bad-usage", `"${level}" is no log level; one of ${levels.join(", ")} is expected`);
  const shown = process.stderr.isTTY && level === "info" ? "warn" : level;
  return pino(
    { level: shown as Level, base: null, redact: ["req.headers.authorization", "token", "secret"] },
    pino.destination({ fd: 2, sync: true }),
  );
}
