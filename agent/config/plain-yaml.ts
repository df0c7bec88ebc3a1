/**
 * Reads the plain part of YAML that configuration files are written in: maps of one or two levels, lists of scalars,
 * literal blocks. What it reads, it reads as the YAML library does (a property test holds them equal); anything else it
 * leaves to the library, whose loading costs every command more time than all else about the configuration.
 */
export type PlainValue = string | number | boolean | null | readonly PlainValue[] | PlainMap;
export interface PlainMap {
  readonly [key: string]: PlainValue;
}

const KEY_LINE = /^( *)([A-Za-z][A-Za-z0-9]*):(?: +(\S.*))?$/;
const ITEM_LINE = /^( *)- +(\S.*)$/;
const JSON_STRING = /^"(?:[^"\\]|\\["\\])*"$/;
const INTEGER = /^(?:0|[1-9][0-9]{0,14})$/;
/** Starts with a letter or a slash, and holds nothing that means something in YAML. */
const PLAIN_TEXT = /^[A-Za-z/][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*$/;
/** `10 min`: a number of something is text too. */
const QUANTITY = /^[0-9]+ [A-Za-z]+(?:\/[a-z]+)?$/;
/** Text that YAML takes for something else; more than it does. */
const SPECIAL_TEXT = /^(?:true|false|null|yes|no|on|off|y|n)$/i;
/** What no plain file needs: controls but the line feed, what is no character, line ends of Unicode, spaces at line ends. */
// oxlint-disable-next-line no-control-regex
const UNUSUAL = / \n|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]/;

/** Thrown inside this file only: the library has to look. */
class NotPlain extends Error {}

/** The top map, or undefined when the text is not plain. */
export function parsePlainYaml(source: string): PlainMap | undefined {
  if (UNUSUAL.test(source)) return undefined;
  try {
    return new PlainReader(source).map(0);
  } catch (error) {
    if (error instanceof NotPlain) return undefined;
    throw error;
  }
}

/** Spaces alone indent; other blanks are part of what stands there. */
const indentOf = (line: string): number => /^ */.exec(line)![0].length;

class PlainReader {
  private readonly lines: readonly string[];
  private at = 0;

  constructor(source: string) {
    this.lines = source.split("\n");
    if (!source.endsWith("\n")) this.fail();
  }

  private fail(): never {
    throw new NotPlain();
  }

  /** The next line that says something; undefined at the end. */
  private peek(): string | undefined {
    while (this.at < this.lines.length) {
      const line = this.lines[this.at]!;
      if (line !== "" && line[indentOf(line)] !== "#") return line;
      this.at++;
    }
    return undefined;
  }

  map(indent: number): PlainMap {
    const map: Record<string, PlainValue> = {};
    for (let line = this.peek(); line !== undefined && indentOf(line) >= indent; line = this.peek()) {
      const match = KEY_LINE.exec(line);
      if (!match || match[1]!.length !== indent || Object.hasOwn(map, match[2]!)) this.fail();
      this.at++;
      map[match[2]!] = match[3] === undefined ? this.below(indent) : this.inline(match[3], indent);
    }
    if (Object.keys(map).length === 0) this.fail();
    return map;
  }

  /** What stands below a key without a value on its line. */
  private below(indent: number): PlainValue {
    const next = this.peek();
    if (next === undefined || indentOf(next) < indent) return null;
    if (ITEM_LINE.test(next)) return this.list(indentOf(next));
    if (indentOf(next) === indent) return null;
    if (indent > 0) this.fail();
    return this.map(indentOf(next));
  }

  private list(indent: number): PlainValue[] {
    const items: PlainValue[] = [];
    for (let line = this.peek(); line !== undefined && indentOf(line) >= indent; line = this.peek()) {
      const match = ITEM_LINE.exec(line);
      if (!match && indentOf(line) === indent) break;
      if (!match || match[1]!.length !== indent) this.fail();
      this.at++;
      items.push(this.scalar(match[2]!));
    }
    return items;
  }

  private inline(text: string, indent: number): PlainValue {
    if (text === "|") return this.literal(indent);
    if (!text.startsWith("[")) return this.scalar(text);
    if (!text.endsWith("]")) this.fail();
    const inner = text.slice(1, -1).trim();
    // Plain text cannot hold a comma, and a string that does is for the library.
    return inner === "" ? [] : inner.split(",").map((item) => this.scalar(item.trim()));
  }

  private scalar(text: string): PlainValue {
    if (JSON_STRING.test(text)) return JSON.parse(text) as string;
    if (INTEGER.test(text)) return Number(text);
    if (text === "true" || text === "false") return text === "true";
    if ((PLAIN_TEXT.test(text) && !SPECIAL_TEXT.test(text)) || QUANTITY.test(text)) return text;
    return this.fail();
  }

  private literal(indent: number): string {
    const first = this.lines[this.at] ?? "";
    const blockIndent = indentOf(first);
    if (first === "" || blockIndent <= indent) this.fail();
    const block: string[] = [];
    for (; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at]!;
      if (line === "" || indentOf(line) < blockIndent) break;
      if (line.includes("#") || indentOf(line) > blockIndent) this.fail();
      block.push(line.slice(blockIndent));
    }
    // A comment or an empty line right below may belong to the block; which one it is, the library knows.
    const next = this.lines[this.at];
    if (next !== undefined && next !== "" && indentOf(next) > indent) this.fail();
    if (next === "" && indentOf(this.peek() ?? "") > indent) this.fail();
    return `${block.join("\n")}\n`;
  }
}
