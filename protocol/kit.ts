/**
 * The recovery kit: what a person needs to bring a site back. Its 24 words are the kit root, 32 bytes, by BIP39 used as an
 * encoding: 8 bits of checksum, and no key stretching, since the root is random. docs/specs/keys.md
 */
import * as v from "valibot";
import { isCostorError } from "./errors.ts";
import { type FederationId, type SiteId, parseFederationId, parseSiteId } from "./ids.ts";
import { deriveRecoveryKey, fingerprintOf, siteIdOf } from "./keys.ts";
import {
  checksumOfFields,
  kitInvalid as invalid,
  parseName,
  readKitFields,
  requireField,
  wordLines,
} from "./kit-fields.ts";
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
const memberSchema = v.pipe(
  v.tupleWithRest([v.string()], v.string()),
  v.transform(([name, ...addresses]): KitMember => ({ name, addresses })),
);

/** The kit file's text, for people first: {@link parseKit} reads it back. */
export function formatKit({ siteName, siteId, kitRoot, federation }: RecoveryKit): string {
  const words = wordsOfKitRoot(kitRoot);
  const { publicKey } = deriveRecoveryKey(kitRoot);
  const isFirst = siteIdOf(publicKey) === siteId;
  return `# CoStor recovery kit
#
# Whoever has this kit can read every backup of the site and take its place. Print it or copy it to a stick, keep it
# where a fire or a thief does not take it together with the server, and leave no copy on the server.
# To bring the site back, install CoStor on a new machine and give it this file or the 24 words.

version: ${VERSION}
site: ${JSON.stringify(siteName)}
site-id: ${siteId}
${isFirst ? "" : "replaces: an earlier kit\n"}fingerprint: ${fingerprintOf(publicKey)}
words:
${wordLines(words)}
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
  const fields = readKitFields(text);
  const field = (name: string): string => requireField(fields, name);
  if (field("version") !== String(VERSION))
    throw invalid(`version ${field("version")} is unknown here; version ${VERSION} is expected`);
  const siteName = parseName("site", field("site"));
  const kitRoot = kitRootOfWords(
    field("words"),
    (root) => fingerprintOf(deriveRecoveryKey(root).publicKey) === field("fingerprint"),
  );
  const { publicKey } = deriveRecoveryKey(kitRoot);
  const siteId = fields.has("replaces") ? readSiteId(field("site-id")) : siteIdOf(publicKey);
  if (field("site-id") !== siteId) throw invalid(`the words are not those of site ${field("site-id")}`, { siteId });
  if (field("fingerprint") !== fingerprintOf(publicKey)) throw invalid("the fingerprint is not that of the words");
  if (field("checksum") !== checksumOf(siteName, siteId, wordsOfKitRoot(kitRoot)))
    throw invalid("the checksum is wrong: the site's name was changed or mistyped");
  return { siteName, siteId, kitRoot, ...(fields.has("federation-id") ? { federation: parseFederation(field) } : {}) };
}

function readSiteId(text: string): SiteId {
  try {
    return parseSiteId(text);
  } catch (cause) {
    throw invalid("the site's id is not whole", {}, cause);
  }
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

const checksumOf = (siteName: string, siteId: SiteId, words: readonly string[]): string =>
  checksumOfFields("costor/v1/kit", VERSION, siteName, siteId, words.join(" "));
