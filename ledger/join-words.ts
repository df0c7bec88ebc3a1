/** Eight words by which two people hear that no third stands between their sites. docs/specs/membership.md */
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { createHash } from "node:crypto";
import type { FederationId } from "#protocol/ids.ts";
import type { Log } from "./entry.ts";

const DOMAIN = "costor/v1/join-words\0";
const WORDS_COUNT = 8;
const BITS_PER_WORD = 11n;

/** The first 88 bits of a hash over the federation and both identities, 11 bits a word. */
export function joinWords(federationId: FederationId, inviter: Log, joiner: Log): string[] {
  const hash = createHash("sha256").update(DOMAIN).update(federationId, "hex");
  for (const { certificate } of [inviter, joiner])
    hash.update(certificate.siteId, "hex").update(certificate.peerPublicKey);
  const bits = BigInt(`0x${hash.digest("hex")}`);
  return Array.from({ length: WORDS_COUNT }, (_, index) => {
    const word = bits >> (256n - BITS_PER_WORD * BigInt(index + 1));
    return wordlist[Number(word % (1n << BITS_PER_WORD))]!;
  });
}
