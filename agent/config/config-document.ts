/** The YAML text of a configuration file: values with the lines that they stand on, and every error found, not only the first. */
import {
  type Document,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
} from "yaml";
import { CostorError } from "#protocol/errors.ts";
import { type Field, nameOf } from "./config-fields.ts";
import type { ConfigSource } from "./config-source.ts";
import { WrongValue } from "./config-value.ts";

export interface ConfigProblem {
  readonly line: number;
  /** Empty when the text is no YAML at all. */
  readonly field: string;
  readonly reason: string;
  readonly example?: string;
}

/** The error that reports `problems`, each on a line: file, line, field, reason, example. */
function badConfig(file: string, problems: readonly ConfigProblem[]): CostorError {
  const lines = problems.map((problem) => {
    const example = problem.example === undefined ? "" : ` Right is, for example: ${problem.example}`;
    return `${file}:${problem.line}: ${problem.field === "" ? "" : `${problem.field} `}${problem.reason}.${example}`;
  });
  return new CostorError("bad-config", lines.join("\n"), { details: { file, problems } });
}

export class ConfigDocument implements ConfigSource {
  private readonly problems: ConfigProblem[] = [];
  private readonly lines = new LineCounter();
  private readonly document: Document.Parsed;
  private readonly top: Node | null;
  private readonly file: string;

  /** Throws `bad-config` when the text is no YAML map. */
  constructor(file: string, source: string) {
    this.file = file;
    this.document = parseDocument(source, { lineCounter: this.lines, customTags: ["binary"], prettyErrors: false });
    for (const error of [...this.document.errors, ...this.document.warnings]) {
      this.problems.push({
        line: this.lines.linePos(error.pos[0]).line,
        field: "",
        reason: `is no valid YAML: ${error.message}`,
      });
    }
    if (this.hasProblems) throw this.failure();
    this.top = this.document.contents;
    if (!isMap(this.top)) throw badConfig(file, [{ line: 1, field: "", reason: "holds no fields" }]);
  }

  get hasProblems(): boolean {
    return this.problems.length > 0;
  }

  /** The error that says all that was noted. */
  failure(): CostorError {
    return badConfig(this.file, this.problems);
  }

  private lineOf(node: Node | null | undefined): number {
    return node?.range ? this.lines.linePos(node.range[0]).line : 1;
  }

  /** The node at `path`, or the deepest node on the way to it. */
  private nodeAt(path: readonly string[]): { node: Node | null; isThere: boolean } {
    let node = this.top;
    for (const key of path) {
      const next: unknown = isMap(node) ? node.get(key, true) : undefined;
      if (next === undefined || next === null) return { node, isThere: false };
      node = next as Node;
    }
    return { node, isThere: !(isScalar(node) && node.value === null) };
  }

  /** The line on which `field` stands, or would belong. */
  private line(field: Pick<Field<unknown>, "path">): number {
    return this.lineOf(this.nodeAt(field.path).node);
  }

  note(field: Field<unknown>, reason: string): void {
    this.problems.push({ line: this.line(field), field: nameOf(field), reason, example: field.example });
  }

  has(field: Pick<Field<unknown>, "path">): boolean {
    return this.nodeAt(field.path).isThere;
  }

  read<T>(field: Field<T>): T | undefined {
    const { node, isThere } = this.nodeAt(field.path);
    if (!isThere) {
      if (field.fallback === undefined && !field.isOptional) this.note(field as Field<unknown>, "is missing");
      return field.fallback;
    }
    try {
      return field.parse(isCollection(node) ? node.toJS(this.document) : (node as { value?: unknown }).value);
    } catch (error) {
      if (error instanceof ReferenceError) {
        // An alias without its anchor, or too many of them: only found when values are made.
        this.note(field as Field<unknown>, `is no valid YAML: ${error.message}`);
        return undefined;
      }
      if (!(error instanceof WrongValue)) throw error;
      const item = isSeq(node) && error.index !== undefined ? (node.items[error.index] as Node) : node;
      const name = error.index === undefined ? nameOf(field) : `${nameOf(field)}: item ${error.index + 1}`;
      this.problems.push({ line: this.lineOf(item), field: name, reason: error.message, example: field.example });
      return undefined;
    }
  }

  /** Notes every key that is no declared field, with the nearest that is. */
  noteUnknown(declared: readonly Pick<Field<unknown>, "path">[]): void {
    const names = declared.map(nameOf);
    const visit = (node: Node | null, prefix: string): void => {
      if (!isMap(node)) return;
      for (const pair of node.items) {
        if (!isPair(pair)) continue;
        const key = pair.key as Node;
        const name = `${prefix}${isScalar(key) ? String(key.value) : "?"}`;
        if (names.includes(name)) continue;
        if (names.some((other) => other.startsWith(`${name}.`))) {
          if (isMap(pair.value)) visit(pair.value, `${name}.`);
          else if (pair.value !== null && !(isScalar(pair.value) && pair.value.value === null)) {
            this.problems.push({
              line: this.lineOf(key),
              field: name,
              reason: "holds a value, where fields are expected below it",
            });
          }
          continue;
        }
        const near = nearest(name, names);
        const reason =
          near === undefined ? "is no field of this file" : `is no field of this file; perhaps ${near} was meant`;
        this.problems.push({ line: this.lineOf(key), field: name, reason });
      }
    };
    visit(this.top, "");
  }
}

function nearest(name: string, names: readonly string[]): string | undefined {
  const last = (whole: string): string => whole.slice(whole.lastIndexOf(".") + 1).toLowerCase();
  let best: { name: string; distance: number } | undefined;
  for (const other of names) {
    const distance = editDistance(last(name), last(other));
    if (distance <= 2 && (!best || distance < best.distance)) best = { name: other, distance };
  }
  return best?.name;
}

function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[right.length]!;
}
