/**
 * The recovery kit: what a person needs to bring a site back. Its 24 words are the kit root, 32 bytes, by BIP39 used as an
 * encoding: 8 bits of checksum, and no key stretching, since the root is random. docs/specs/keys.md
 */
import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { createHash } from "node:crypto";
import { CostorError } from "./errors.ts";
import { parseSiteId, type SiteId } from "./ids.ts";
import { deriveRecoveryKey, siteIdOf } from "./keys.ts";

export interface RecoveryKit {
  readonly siteName: string;
  readonly siteId: SiteId;
  /** 32 bytes: everything. Never logged, never kept. */
  readonly kitRoot: Uint8Array;
}

const kitWordsCount = 24;
const VERSION = 1;
const WORDS_PER_LINE_COUNT = 4;
/** Longest kit file that is read. */
const TEXT_MAX_CHARACTERS = 64 * 1024;

/** The 24 words of a kit root. */
export const wordsOfKitRoot = (kitRoot: Uint8Array): string[] => entropyToMnemonic(kitRoot, wordlist).split(" ");

/**
 * The kit root of 24 words. Case and the spaces between them don't matter. Throws `kit-invalid` with the number of the first word
 * that is no word of the list, and the nearest word that is.
 */
export function kitRootOfWords(text: string): Uint8Array {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  for (const [index, word] of words.entries()) {
    if (wordlist.includes(word)) continue;
    const suggestion = nearestWord(word);
    throw invalid(`word ${index + 1}, "${word}", is not in the list; perhaps "${suggestion}" is meant`, {
      position: index + 1,
      word,
      suggestion,
    });
  }
  if (words.length !== kitWordsCount)
    throw invalid(`${kitWordsCount} words are expected, not ${words.length}`, { count: words.length });
  try {
    return mnemonicToEntropy(words.join(" "), wordlist);
  } catch (cause) {
    throw invalid(
      "each word is in the list, but together they are not a kit: one is wrong, or two have changed places",
      {},
      cause,
    );
  }
}

/** What two people can compare over the telephone: 32 hex digits of the SHA-256 of a recovery public key, in groups of four. */
export function fingerprintOf(recoveryPublicKey: Uint8Array): string {
  const hex = createHash("sha256").update(recoveryPublicKey).digest("hex");
  return hex.slice(0, 32).match(/.{4}/g)!.join(" ");
}

/** The kit file's text, for people first: parseKit reads it back. */
export function formatKit(siteName: string, kitRoot: Uint8Array): string {
  const { publicKey } = deriveRecoveryKey(kitRoot);
  const siteId = siteIdOf(publicKey);
  const words = wordsOfKitRoot(kitRoot);
  const numbered = words.map((word, index) => `${String(index + 1).padStart(2)} ${word.padEnd(8)}`);
  const lines = Array.from({ length: kitWordsCount / WORDS_PER_LINE_COUNT }, (_, line) =>
    `  ${numbered.slice(line * WORDS_PER_LINE_COUNT, (line + 1) * WORDS_PER_LINE_COUNT).join("   ")}`.trimEnd(),
  );
  return `# CoStor recovery kit
#
# Whoever has this kit can read every backup of the site and take its place. Print it or copy it to a stick, keep it
# where a fire or a thief does not take it together with the server, and leave no copy on the server.
# To bring the site back, install CoStor on a new machine and give it this file or the 24 words.

version: ${VERSION}
site: ${JSON.stringify(siteName)}
site-id: ${siteId}
fingerprint: ${fingerprintOf(publicKey)}
words:
${lines.join("\n")}
checksum: ${checksumOf(siteName, siteId, words)}
`;
}

/** Reads a kit file back. Throws `kit-invalid` that says which line or word is wrong. */
export function parseKit(text: string): RecoveryKit {
  if (text.length > TEXT_MAX_CHARACTERS) throw invalid("the file is too long to be a recovery kit");
  const fields = readFields(text);
  const field = (name: string): string => fields.get(name) ?? fail(`the line "${name}:" is missing`);
  if (field("version") !== String(VERSION))
    throw invalid(`version ${field("version")} is unknown here; version ${VERSION} is expected`);
  const siteName = parseSiteName(field("site"));
  const kitRoot = kitRootOfWords(field("words").replace(/(^|\s)\d+(?=\s)/g, " "));
  const { publicKey } = deriveRecoveryKey(kitRoot);
  const siteId = siteIdOf(publicKey);
  if (field("site-id") !== siteId) throw invalid(`the words are not those of site ${field("site-id")}`, { siteId });
  if (field("fingerprint") !== fingerprintOf(publicKey)) throw invalid("the fingerprint is not that of the words");
  if (field("checksum") !== checksumOf(siteName, siteId, wordsOfKitRoot(kitRoot)))
    throw invalid("the checksum is wrong: the site's name was changed or mistyped");
  return { siteName, siteId: parseSiteId(siteId), kitRoot };
}

/** Fields are `name: value`; the words are on the lines below theirs. Comments and empty lines don't count. */
function readFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let name: string | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const match = /^([a-z-]+):(.*)$/.exec(line.trim());
    if (match) {
      name = match[1]!;
      if (fields.has(name)) throw invalid(`line ${index + 1} gives "${name}" a second time`, { line: index + 1 });
      fields.set(name, match[2]!.trim());
    } else if (name === "words") fields.set(name, `${fields.get(name)} ${line.trim()}`);
    else throw invalid(`line ${index + 1} is not of a recovery kit`, { line: index + 1 });
  }
  return fields;
}

function parseSiteName(text: string): string {
  try {
    const name: unknown = JSON.parse(text);
    if (typeof name === "string") return name;
  } catch {}
  throw invalid('the site\'s name is expected in quotation marks, such as site: "Hill School"');
}

const checksumOf = (siteName: string, siteId: SiteId, words: readonly string[]): string =>
  createHash("sha256")
    .update(JSON.stringify(["costor/v1/kit", VERSION, siteName, siteId, words.join(" ")]))
    .digest("hex")
    .slice(0, 8);

/** The list's word with the fewest changed letters; all of its words differ in their first four. */
function nearestWord(word: string): string {
  let best = wordlist[0]!;
  let bestCount = Infinity;
  for (const candidate of wordlist) {
    const count = changedLettersCount(word.slice(0, 16), candidate);
    if (count < bestCount) [best, bestCount] = [candidate, count];
  }
  return best;
}

/** Letters changed, added, left out, or exchanged with their neighbour. */
function changedLettersCount(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const isExchanged = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      row.push(
        Math.min(
          last[j]! + 1,
          row[j - 1]! + 1,
          last[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1),
          isExchanged ? beforeLast[j - 2]! + 1 : Infinity,
        ),
      );
    }
    [beforeLast, last] = [last, row];
  }
  return last[right.length]!;
}

const invalid = (message: string, details: Record<string, unknown> = {}, cause?: unknown): CostorError =>
  new CostorError("kit-invalid", `the recovery kit: ${message}`, { details, cause });
const fail = (message: string): never => {
  throw invalid(message);
};
