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
