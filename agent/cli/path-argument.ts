/** Paths from the command line, as bytes. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type ByteString, byteStringFromBytes, byteStringFromText } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";

/**
 * The absolute path that `argument` names, seen from the current directory. Node has replaced bytes that are not UTF-8 by
 * then; the system still has them. Throws `bad-usage`.
 */
export function pathOfArgument(argument: string): ByteString {
  if (argument === "") throw new CostorError("bad-usage", "a path is empty");
  if (!argument.includes("\ufffd")) return byteStringFromText(resolve(argument));
  const bytes = exactArguments().find((candidate) => candidate.toString("utf8") === argument);
  if (!bytes) return byteStringFromText(resolve(argument));
  const exact = byteStringFromBytes(bytes);
  return normalPath(exact.startsWith("/") ? exact : (`${byteStringFromText(process.cwd())}/${exact}` as ByteString));
}

function exactArguments(): Buffer[] {
  const whole = readFileSync("/proc/self/cmdline");
  const found: Buffer[] = [];
  for (let at = 0, end = 0; at < whole.length; at = end + 1) {
    end = whole.indexOf(0, at);
    if (end < 0) end = whole.length;
    found.push(whole.subarray(at, end));
  }
  return found;
}

function normalPath(path: ByteString): ByteString {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return `/${names.join("/")}` as ByteString;
}
