/** A lock on a file that the kernel ends with its owner, however that dies: a file that is left over locks nobody out. */
import { closeSync, openSync } from "node:fs";
import { CostorError } from "#protocol/errors.ts";
import { E, libc } from "./libc.ts";
import { isOsError, lastError } from "./os-error.ts";

const LOCK_EXCLUSIVE = 2;
const LOCK_AT_ONCE = 4;

/** Holds `path` until it is disposed. Throws `agent-busy` when another process, or this one, holds it already. */
export function lockFile(path: string): Disposable {
  const fd = openSync(path, "a", 0o600);
  if (libc.flock(fd, LOCK_EXCLUSIVE | LOCK_AT_ONCE) !== 0) {
    const error = lastError("flock");
    closeSync(fd);
    if (isOsError(error, E.AGAIN))
      throw new CostorError("agent-busy", `another process holds ${path}`, { cause: error });
    throw error;
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}
