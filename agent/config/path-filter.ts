/**
 * Which paths a backup takes. Patterns are those of a .gitignore file that lies in `/`, matched byte by byte: a name need
 * not be UTF-8, `*` and `?` stand for any bytes, and a text pattern stands for its UTF-8 bytes, so `?` is one byte.
 * Letters match in their own case only.
 */
import { createRequire } from "node:module";
import type { Ignore, Options } from "ignore";

/**
 * Whether the object at `path` (absolute, without the leading slash, as a byte string) is backed up; for a directory:
 * whether it is walked. Asked from the top down: nothing below a refused directory is asked.
 */
export type PathFilter = (path: string, isDirectory: boolean) => boolean;

/** The filter when there is nothing to filter; compare with `===` to skip the building of paths. */
export const keepEverything: PathFilter = () => true;

/** After so many questions a matcher's memory of paths is dropped. */
const REMEMBERED_COUNT = 16_384;

export function createPathFilter(include: readonly string[], exclude: readonly string[]): PathFilter {
  const excluded = exclude.length > 0 ? createMatcher(exclude) : undefined;
  const included = include.length > 0 ? createIncluder(include) : undefined;
  if (!excluded && !included) return keepEverything;
  return (path, isDirectory) => {
    if (path === "") return true;
    const asked = shiftHighBytes(isDirectory ? `${path}/` : path);
    if (excluded?.(asked)) return false;
    return included === undefined || included(asked, isDirectory);
  };
}

/**
 * Bytes from 0x80 on move to letters of one code unit each, in the same order: left where they are, one of them (0xA0)
 * would be a space to the pattern parser, which trims spaces.
 */
const shiftHighBytes = (path: string): string =>
  // oxlint-disable-next-line no-control-regex
  /[\x80-\xff]/.test(path)
    ? path.replace(/[\x80-\xff]/g, (byte) => String.fromCharCode(byte.charCodeAt(0) + 0x100))
    : path;

const shiftPattern = (pattern: string): string => shiftHighBytes(Buffer.from(pattern, "utf8").toString("latin1"));

/** Whether a path (with a slash behind a directory's) or a directory above it matches. */
function createMatcher(patterns: readonly string[]): (path: string) => boolean {
  const create = createRequire(import.meta.url)("ignore") as (options: Options) => Ignore;
  const shifted = patterns.map(shiftPattern);
  let rules: Ignore | undefined;
  let askedCount = 0;
  return (path) => {
    if (!rules || askedCount >= REMEMBERED_COUNT) {
      rules = create({ ignorecase: false }).add(shifted);
      askedCount = 0;
      // The library asks itself about every directory above, recursively; answered from the top down it stays flat.
      for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) rules.ignores(path.slice(0, at + 1));
    }
    askedCount++;
    return rules.ignores(path);
  };
}

/**
 * What include patterns keep: all that match, and the directories that may hold a match. A pattern bound to a place
 * (`/home/*` + `/Documents/`) opens only the directories on the way to it; one that is not opens all.
 */
function createIncluder(patterns: readonly string[]): (path: string, isDirectory: boolean) => boolean {
  const matches = createMatcher(patterns);
  let opensAll = false;
  const prefixes: string[][] = [];
  const below: string[] = [];
  for (const pattern of patterns) {
    if (pattern.startsWith("!") || pattern.startsWith("#")) continue;
    const body = pattern.replace(/^\//, "");
    const isBound = pattern.startsWith("/") || body.replace(/\/$/, "").includes("/");
    const names = body.split("/").slice(0, -1);
    const wild = isBound ? names.indexOf("**") : 0;
    const boundNames = wild < 0 ? names : names.slice(0, wild);
    if (wild === 0) opensAll = true;
    for (let depth = 1; depth <= boundNames.length; depth++) {
      (prefixes[depth] ??= []).push(`/${boundNames.slice(0, depth).join("/")}/`);
    }
    if (wild > 0) below.push(`/${boundNames.join("/")}/`);
  }
  const opensAtDepth: ((path: string) => boolean)[] = [];
  prefixes.forEach((group, depth) => (opensAtDepth[depth] = createMatcher(group)));
  const opensBelow = createMatcher(below);
  return (path, isDirectory) => {
    if (matches(path)) return true;
    if (!isDirectory) return false;
    if (opensAll || opensBelow(path)) return true;
    let depth = 0;
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) depth++;
    return opensAtDepth[depth]?.(path) ?? false;
  };
}
