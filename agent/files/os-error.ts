import koffi from "koffi";
import { getSystemErrorMessage } from "node:util";
import { displayName } from "#protocol/byte-string.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { errno } from "./libc.ts";

/**
 * A system call that failed. It stays inside `agent/files` and its direct callers, which branch on `code`: they report it
 * of one object, or make a CostorError of it that says what to do next.
 */
export class OsError extends Error {
  /** The symbolic name, such as ENOENT. */
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, number: number, name?: string) {
    const code = nameOf(number);
    super(
      `${code}:${messageOf(number)} ${syscall}${name === undefined ? "" : ` '${displayName(name as ByteString)}'`}`,
    );
    this.name = "OsError";
    this.code = code;
    this.errno = number;
    this.syscall = syscall;
  }
}

/** The failure of the call that was made last; to be made before anything else runs. */
export const lastError = (syscall: string, name?: string): OsError => new OsError(syscall, errno(), name);

export function isOsError(error: unknown, ...numbers: number[]): error is OsError {
  return error instanceof OsError && (numbers.length === 0 || numbers.includes(error.errno));
}

/** Whether `code` is the symbolic name of a system's error, such as EACCES; not that of a fault in a program (`ERR_…`). */
export const isSystemCode = (code: unknown): code is string =>
  typeof code === "string" && /^E(?!RR_)[A-Z0-9]+$/.test(code);

let names: Map<number, string> | undefined;

function nameOf(number: number): string {
  // Node knows fewer of them (no ESTALE), so the list of koffi is asked. Of aliases the first one stands.
  names ??= new Map(
    Object.entries(koffi.os.errno as Record<string, number>)
      .toReversed()
      .map(([name, value]) => [value, name]),
  );
  return names.get(number) ?? `E${number}`;
}

function messageOf(number: number): string {
  const message = getSystemErrorMessage(-number) ?? "";
  return message === "" || message.startsWith("Unknown") ? "" : ` ${message},`;
}
