/** What a command says on stdout: text for a person, or with --json one JSON value for a program. */

/** One JSON value with indentation for a terminal, on one line elsewhere. bigints become strings. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(
    value,
    (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part),
    process.stdout.isTTY ? 2 : undefined,
  );
  process.stdout.write(`${text}\n`);
}

export function printLine(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** To stderr: what there is to know besides the result. */
export function printNote(text: string): void {
  process.stderr.write(`note: ${withoutEscapes(text)}\n`);
}

export interface Column<Row> {
  readonly title: string;
  readonly align?: "left" | "right";
  text(row: Row): string;
}

/** A table with one line a row. Names of files have to come through `displayName()`. */
export function printTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): void {
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => column.text(row))),
  ];
  const widths = columns.map((_column, index) => Math.max(...cells.map((line) => line[index]!.length)));
  for (const line of cells) {
    const texts = line.map((cell, index) =>
      columns[index]!.align === "right" ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!),
    );
    printLine(texts.join("  ").trimEnd());
  }
}

/**
 * Text from elsewhere, such as a system's or a site's message, with nothing in it that moves a cursor, colours or
 * reverses: controls but the line feed are shown as `\xNN` or `\u{…}`. For names of files there is `displayName()`.
 */
export function withoutEscapes(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u{${code}}`;
  });
}
