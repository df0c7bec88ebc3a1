/** The text of kit files and of share files: `name: value`, for people to read and copy. docs/specs/keys.md */
import { createHash } from "node:crypto";
import { CostorError } from "./errors.ts";

/** Longest file that is read. */
export const kitFileCharacters = 64 * 1024;
const WORDS_PER_LINE_COUNT = 4;
/** These go on on the lines below. */
const LONG_FIELDS = ["words", "members"];

export const kitInvalid = (message: string, details: Record<string, unknown> = {}, cause?: unknown): CostorError =>
  new CostorError("kit-invalid", `the recovery kit: ${message}`, { details, cause });

/** Comments and empty lines don't count. Throws `kit-invalid`. */
export function readKitFields(text: string): ReadonlyMap<string, string> {
  if (text.length > kitFileCharacters) throw kitInvalid("the file is too long to be a recovery kit");
  const fields = new Map<string, string>();
  let name: string | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const match = /^([a-z-]+):(.*)$/.exec(line.trim());
    if (match) {
      name = match[1]!;
      if (fields.has(name)) throw kitInvalid(`line ${index + 1} gives "${name}" a second time`, { line: index + 1 });
      fields.set(name, match[2]!.trim());
    } else if (name !== undefined && LONG_FIELDS.includes(name))
      fields.set(name, `${fields.get(name)}\n${line.trim()}`);
    else throw kitInvalid(`line ${index + 1} is not of a recovery kit`, { line: index + 1 });
  }
  return fields;
}

/** Throws `kit-invalid`. */
export function requireField(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined) throw kitInvalid(`the line "${name}:" is missing`);
  return value;
}

/** A name of a site or a person, as a JSON string. Throws `kit-invalid`. */
export function parseName(field: string, text: string): string {
  try {
    const name: unknown = JSON.parse(text);
    if (typeof name === "string") return name;
  } catch {}
  throw kitInvalid(`a name is expected in quotation marks, such as ${field}: "Hill School"`);
}

/** Numbered, four on a line. */
export function wordLines(words: readonly string[]): string {
  const numbered = words.map((word, index) => `${String(index + 1).padStart(2)} ${word.padEnd(8)}`);
  return Array.from({ length: Math.ceil(words.length / WORDS_PER_LINE_COUNT) }, (_, line) =>
    `  ${numbered.slice(line * WORDS_PER_LINE_COUNT, (line + 1) * WORDS_PER_LINE_COUNT).join("   ")}`.trimEnd(),
  ).join("\n");
}

/** 8 hex digits. */
export const checksumOfFields = (...values: readonly (string | number)[]): string =>
  createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, 8);
