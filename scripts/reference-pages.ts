/** The reference pages that follow from the code: every error and every limit. `npm run docs` writes them. */
import { readFileSync } from "node:fs";
import { errorRegistry } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

const generatedNote = "<!-- Written by `npm run docs`; change the code, not this page. -->";

const limitFiles = ["limits.ts", "ledger-limits.ts", "replication-limits.ts"];
const textOf = (name: string): string => readFileSync(new URL(`../protocol/${name}`, import.meta.url), "utf8");

/** The pages by their path in the project. Throws when a limit has no doc comment. */
export function referencePages(): ReadonlyMap<string, string> {
  return new Map([
    ["docs/errors.md", errorsPage()],
    ["docs/limits.md", limitsPage(limitFiles.map(textOf).join(""))],
  ]);
}

function errorsPage(): string {
  const rows = Object.entries(errorRegistry).map(
    ([code, { status, retryable, help }]) =>
      `| \`${code}\` | ${status} | ${retryable ? "yes" : "no"} | ${cell(help)} |`,
  );
  return `# Errors
${generatedNote}

Every error of the command line and of the HTTP interface carries one of these codes. Branch on the code, never on the
message. *Again* tells whether the same call may succeed later without a person's help. Source: \`protocol/errors.ts\`.

| code | HTTP status | again | what to do |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
}

function limitsPage(source: string): string {
  const comments = docComments(source);
  const rows = Object.entries(limits).map(([name, value]) => {
    const comment = comments.get(name);
    if (comment === undefined) throw new Error(`protocol/: the limit ${name} has no doc comment of its own`);
    return `| \`${name}\` | ${describeLimit(name, value)} | ${cell(comment)} |`;
  });
  return `# Limits
${generatedNote}

Nothing that CoStor reads or keeps is unbounded. What goes past a limit is refused with \`limit-exceeded\` unless the row
says otherwise. Source: \`protocol/limits.ts\`.

| limit | value | what it bounds, and why |
| --- | --- | --- |
${rows.join("\n")}
`;
}

/** The doc comment that stands right before each property of the limits object. */
function docComments(source: string): Map<string, string> {
  const found = source.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s*(\w+):/g);
  return new Map(
    Array.from(found, ([, comment = "", name = ""]) => {
      const text = comment.replaceAll(/^\s*\* ?/gm, "").replaceAll(/\s+/g, " ");
      return [name, text.replaceAll(/\{@link (?:limits\.)?(\w+)\}/g, "`$1`").trim()];
    }),
  );
}

function describeLimit(name: string, value: number): string {
  if (name.endsWith("Ms")) return describeMs(value);
  if (/Bytes(PerSecond)?$/.test(name)) return describeBytes(value) + (name.endsWith("PerSecond") ? "/s" : "");
  return value.toLocaleString("en-GB");
}

function describeBytes(bytes: number): string {
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes >= size && Number.isInteger((bytes / size) * 4)) return `${bytes / size} ${unit}`;
  }
  return `${bytes.toLocaleString("en-GB")} B`;
}

function describeMs(durationMs: number): string {
  for (const [unit, size] of [
    ["days", 86_400_000],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1000],
  ] as const) {
    if (durationMs >= size && Number.isInteger(durationMs / size)) return `${durationMs / size} ${unit}`;
  }
  return `${durationMs} ms`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
