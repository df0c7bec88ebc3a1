/**
 * The recovery kit: what a person needs to bring a site back. Its 24 words are the kit root, 32 bytes, by BIP39 used as an
 * encoding: 8 bits of checksum, and no key stretching, since the root is random. docs/specs/keys.md
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { CostorError, isCostorError } from "./errors.ts";
import { type FederationId, type SiteId, parseFederationId } from "./ids.ts";
import { deriveRecoveryKey, fingerprintOf, siteIdOf } from "./keys.ts";
import { kitRootOfWords, wordsOfKitRoot } from "./kit-words.ts";

export interface RecoveryKit {
  readonly siteName: string;
  readonly siteId: SiteId;
  /** 32 bytes: everything. Never logged, never kept. */
  readonly kitRoot: Uint8Array;
  /** Where the site's copies were when the kit was written. */
  readonly federation?: KitFederation;
}

export interface KitFederation {
  readonly federationId: FederationId;
  readonly name: string;
  /** Other sites. */
  readonly members: readonly KitMember[];
}

export interface KitMember {
  readonly name: string;
  /** Multiaddr texts with the machine's PeerId. */
  readonly addresses: readonly string[];
}

const VERSION = 1;
const WORDS_PER_LINE_COUNT = 4;
const memberSchema = v.pipe(
  v.tupleWithRest([v.string()], v.string()),
  v.transform(([name, ...addresses]): KitMember => ({ name, addresses })),
);
/** Longest kit file that is read. */
export const kitFileCharacters = 64 * 1024;

/** The kit file's text, for people first: {@link parseKit} reads it back. */
export function formatKit({ siteName, siteId, kitRoot, federation }: RecoveryKit): string {
  const words = wordsOfKitRoot(kitRoot);
  const numbered = words.map((word, index) => `${String(index + 1).padStart(2)} ${word.padEnd(8)}`);
  const lines = Array.from({ length: words.length / WORDS_PER_LINE_COUNT }, (_, line) =>
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
fingerprint: ${fingerprintOf(deriveRecoveryKey(kitRoot).publicKey)}
words:
${lines.join("\n")}
checksum: ${checksumOf(siteName, siteId, words)}
${federation === undefined ? "" : formatFederation(federation)}`;
}

const formatFederation = ({ federationId, name, members }: KitFederation): string => `
# Who keeps copies of the site, as of when this file was written. Other addresses do as well.
federation: ${JSON.stringify(name)}
federation-id: ${federationId}
members:
${members.map((member) => `  ${JSON.stringify([member.name, ...member.addresses])}\n`).join("")}`;

/** Reads a kit file back. Throws `kit-invalid` that says which line or word is wrong. */
export function parseKit(text: string): RecoveryKit {
  if (text.length > kitFileCharacters) throw invalid("the file is too long to be a recovery kit");
  const fields = readFields(text);
  const field = (name: string): string => fields.get(name) ?? fail(`the line "${name}:" is missing`);
  if (field("version") !== String(VERSION))
    throw invalid(`version ${field("version")} is unknown here; version ${VERSION} is expected`);
  const siteName = parseName("site", field("site"));
  const kitRoot = kitRootOfWords(field("words"));
  const { publicKey } = deriveRecoveryKey(kitRoot);
  const siteId = siteIdOf(publicKey);
  if (field("site-id") !== siteId) throw invalid(`the words are not those of site ${field("site-id")}`, { siteId });
  if (field("fingerprint") !== fingerprintOf(publicKey)) throw invalid("the fingerprint is not that of the words");
  if (field("checksum") !== checksumOf(siteName, siteId, wordsOfKitRoot(kitRoot)))
    throw invalid("the checksum is wrong: the site's name was changed or mistyped");
  return { siteName, siteId, kitRoot, ...(fields.has("federation-id") ? { federation: parseFederation(field) } : {}) };
}

function parseFederation(field: (name: string) => string): KitFederation {
  const lines = field("members").split("\n");
  try {
    return {
      federationId: parseFederationId(field("federation-id")),
      name: parseName("federation", field("federation")),
      members: lines.filter((line) => line !== "").map((line) => v.parse(memberSchema, JSON.parse(line))),
    };
  } catch (cause) {
    if (isCostorError(cause, "kit-invalid")) throw cause;
    throw invalid("what it says of the federation was changed or mistyped", {}, cause);
  }
}

/** Fields are `name: value`; words and members are on the lines below theirs. Comments and empty lines don't count. */
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
    } else if (name === "words" || name === "members") fields.set(name, `${fields.get(name)}\n${line.trim()}`);
    else throw invalid(`line ${index + 1} is not of a recovery kit`, { line: index + 1 });
  }
  return fields;
}

function parseName(field: string, text: string): string {
  try {
    const name: unknown = JSON.parse(text);
    if (typeof name === "string") return name;
  } catch {}
  throw invalid(`a name is expected in quotation marks, such as ${field}: "Hill School"`);
}

const checksumOf = (siteName: string, siteId: SiteId, words: readonly string[]): string =>
  createHash("sha256")
    .update(JSON.stringify(["costor/v1/kit", VERSION, siteName, siteId, words.join(" ")]))
    .digest("hex")
    .slice(0, 8);

const invalid = (message: string, details: Record<string, unknown> = {}, cause?: unknown): CostorError =>
  new CostorError("kit-invalid", `the recovery kit: ${message}`, { details, cause });
const fail = (message: string): never => {
  throw invalid(message);
};
