/** Eight words by which two people hear that no third stands between their sites, or that both mean the same new key. docs/specs/membership.md */
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { createHash } from "node:crypto";
import type { FederationId } from "#protocol/ids.ts";
import type { RecoveryLink } from "#protocol/recovery-chain.ts";
import type { Log } from "./entry.ts";

const JOIN_DOMAIN = "costor/v1/join-words\0";
const KIT_DOMAIN = "costor/v1/kit-words\0";
const WORDS_COUNT = 8;
const BITS_PER_WORD = 11n;

/** Of a hash over the federation and both identities. */
export function joinWords(federationId: FederationId, inviter: Log, joiner: Log): string[] {
  const hash = createHash("sha256").update(JOIN_DOMAIN).update(federationId, "hex");
  for (const { certificate } of [inviter, joiner])
    hash.update(certificate.siteId, "hex").update(certificate.peerPublicKey);
  return spoken(hash.digest());
}

/** Of a hash over the federation, the site, and the link to its new recovery key. */
export const kitWords = (federationId: FederationId, { siteId, hash }: RecoveryLink): string[] =>
  spoken(
    createHash("sha256")
      .update(KIT_DOMAIN)
      .update(federationId, "hex")
      .update(siteId, "hex")
      .update(hash, "hex")
      .digest(),
  );

/** The first 88 bits, 11 bits a word. */
function spoken(hash: Buffer): string[] {
  const bits = BigInt(`0x${hash.toString("hex")}`);
  return Array.from({ length: WORDS_COUNT }, (_, index) => {
    const word = bits >> (256n - BITS_PER_WORD * BigInt(index + 1));
    return wordlist[Number(word % (1n << BITS_PER_WORD))]!;
  });
}
