/** Patterns that `find` looks for, over names as byte strings. A pattern with a slash is for whole paths. */
import { type ByteString, byteStringToBytes } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";

export interface NamePattern {
  /** True: {@link matches} takes an absolute path; false: the last name alone. */
  readonly isForPaths: boolean;
  matches(value: ByteString): boolean;
}

export interface NamePatternInit {
  readonly isRegex: boolean;
  readonly ignoresCase: boolean;
}

const PATTERN_MOST_COUNT = 1000;

/**
 * A glob (`*` and `?` within a name, `**` across names, `[a-z]`) that covers the whole, or a regular expression that is
 * found anywhere in it. A regular expression is for paths when it holds a slash. Throws `bad-usage`.
 */
export function parseNamePattern(text: string, init: NamePatternInit): NamePattern {
  if (text === "" || text.length > PATTERN_MOST_COUNT)
    throw new CostorError("bad-usage", `a pattern has 1 to ${PATTERN_MOST_COUNT} characters`);
  const isForPaths = text.includes("/");
  let expression: RegExp;
  try {
    expression = new RegExp(init.isRegex ? text : globSource(text), `${init.ignoresCase ? "i" : ""}su`);
  } catch (cause) {
    throw new CostorError("bad-usage", `not a pattern: ${(cause as Error).message}`, { cause });
  }
  return { isForPaths, matches: (value) => expression.test(textOfName(value)) };
}

/** UTF-8 as text; each byte that is none becomes a character of its own, a lone surrogate, that only wildcards match. */
function textOfName(name: ByteString): string {
  // oxlint-disable-next-line no-control-regex
  if (!/[\x80-\xff]/.test(name)) return name;
  const bytes = byteStringToBytes(name);
  const text = bytes.toString("utf8");
  if (!text.includes("\ufffd") || Buffer.from(text, "utf8").equals(bytes)) return text;
  let mixed = "";
  for (let at = 0; at < bytes.length;) {
    const length = [1, 2, 3, 4].find((count) => isOneCharacter(bytes.subarray(at, at + count)));
    mixed += length === undefined ? String.fromCharCode(0xdc00 + bytes[at]!) : bytes.toString("utf8", at, at + length);
    at += length ?? 1;
  }
  return mixed;
}

function isOneCharacter(bytes: Buffer): boolean {
  const text = bytes.toString("utf8");
  return [...text].length === 1 && Buffer.from(text, "utf8").equals(bytes);
}

function globSource(glob: string): string {
  let source = glob.startsWith("/") || !glob.includes("/") ? "^" : "^(?:.*/)?";
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at]!;
    if (glob.startsWith("**/", at)) {
      source += "(?:.*/)?";
      at += 2;
    } else if (glob.startsWith("**", at)) {
      source += ".*";
      at += 1;
    } else if (character === "*") {
      source += "[^/]*";
    } else if (character === "?") {
      source += "[^/]";
    } else if (character === "[" && glob.indexOf("]", at + 2) > 0) {
      const end = glob.indexOf("]", at + 2);
      const members = glob.slice(at + 1, end).replace(/^[!^]/, "");
      const isNegated = /^[!^]/.test(glob.slice(at + 1));
      source += `(?!/)[${isNegated ? "^" : ""}${members.replaceAll(/[\\[\]^]/g, "\\$&")}]`;
      at = end;
    } else if (character === "\\" && at + 1 < glob.length) {
      source += literal(glob[++at]!);
    } else {
      source += literal(character);
    }
  }
  return `${source}$`;
}

/** A character by itself, as the `u` flag takes it. Surrogate pairs arrive in halves, which stand for themselves. */
const literal = (character: string): string => character.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
