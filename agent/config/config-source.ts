/** Where the fields of a configuration are read from. Problems are noted, not thrown, so that all of them are found. */
import { type Field, nameOf } from "./config-fields.ts";
import { WrongValue } from "./config-value.ts";
import type { PlainMap, PlainValue } from "./plain-yaml.ts";

export interface ConfigSource {
  readonly hasProblems: boolean;
  /** The field's value or fallback. A wrong or missing one is noted, and undefined returned. */
  read<T>(field: Field<T>): T | undefined;
  has(field: Pick<Field<unknown>, "path">): boolean;
  /** Notes a problem with a field that parsers of single values cannot see. */
  note(field: Field<unknown>, reason: string): void;
  /** Notes every key that is no declared field. */
  noteUnknown(declared: readonly Pick<Field<unknown>, "path">[]): void;
}

/** The values of a plain file. Knows that there are problems, and not where: who wants to know asks a ConfigDocument. */
export class PlainDocument implements ConfigSource {
  hasProblems = false;
  private readonly top: PlainMap;

  constructor(top: PlainMap) {
    this.top = top;
  }

  private valueAt(path: readonly string[]): PlainValue | undefined {
    let value: PlainValue | undefined = this.top;
    for (const key of path) value = isPlainMap(value) ? value[key] : undefined;
    return value === null ? undefined : value;
  }

  read<T>(field: Field<T>): T | undefined {
    const value = this.valueAt(field.path);
    if (value === undefined) {
      if (field.fallback === undefined && !field.isOptional) this.hasProblems = true;
      return field.fallback;
    }
    try {
      return field.parse(value);
    } catch (error) {
      if (!(error instanceof WrongValue)) throw error;
      this.hasProblems = true;
      return undefined;
    }
  }

  has(field: Pick<Field<unknown>, "path">): boolean {
    return this.valueAt(field.path) !== undefined;
  }

  note(): void {
    this.hasProblems = true;
  }

  noteUnknown(declared: readonly Pick<Field<unknown>, "path">[]): void {
    const names = new Set(declared.map(nameOf));
    const sections = new Set(declared.filter(({ path }) => path.length > 1).map(({ path }) => path[0]!));
    for (const [key, value] of Object.entries(this.top)) {
      if (names.has(key)) continue;
      const isSection = sections.has(key) && (value === null || isPlainMap(value));
      const isKnown = isSection && Object.keys(value ?? {}).every((below) => names.has(`${key}.${below}`));
      if (!isKnown) this.hasProblems = true;
    }
  }
}

const isPlainMap = (value: PlainValue | undefined): value is PlainMap =>
  typeof value === "object" && value !== null && !Array.isArray(value);
