/**
 * What grows from a site's kit root: 32 random bytes that exist only in the recovery kit. Each key is HKDF-SHA-256 of the root
 * under a label of its own, so that none tells anything about another or about the root. docs/specs/keys.md
 */
import { createHash, hkdfSync } from "node:crypto";
import { CostorError } from "./errors.ts";
import { parseSiteId, type SiteId } from "./ids.ts";
import { publicKeyOf, rawKeyBytes } from "./raw-keys.ts";

export const kitRootBytes = 32;

export interface RecoveryKey {
  /** Ed25519, 32 bytes. On no server after set-up. */
  readonly seed: Buffer;
  /** 32 bytes. */
  readonly publicKey: Buffer;
}

export interface ReadKey {
  /** From 1; a site takes the next one when a thief may have the last. */
  readonly generation: number;
  /** X25519, 32 bytes. On the site. */
  readonly privateKey: Buffer;
  /** 32 bytes. */
  readonly publicKey: Buffer;
}

/** Signs epoch certificates, tickets and the replacement of the kit. */
export function deriveRecoveryKey(kitRoot: Uint8Array): RecoveryKey {
  const seed = derive(kitRoot, "recovery");
  return { seed, publicKey: publicKeyOf("ed25519", seed) };
}

/** The key that opens what is sealed to the site, `generation` from 1. */
export function deriveReadKey(kitRoot: Uint8Array, generation: number): ReadKey {
  if (!Number.isSafeInteger(generation) || generation < 1)
    throw new CostorError("bad-request", `${generation} is no generation of a read key`);
  const privateKey = derive(kitRoot, `read/${generation}`);
  return { generation, privateKey, publicKey: publicKeyOf("x25519", privateKey) };
}

/** The secret of the site's scope, 32 bytes, which its agents get: see protocol/scope.ts. */
export const deriveSiteScopeSecret = (kitRoot: Uint8Array): Buffer => derive(kitRoot, "site");

/** SHA-256 of the site's first recovery public key. */
export function siteIdOf(recoveryPublicKey: Uint8Array): SiteId {
  if (recoveryPublicKey.length !== rawKeyBytes)
    throw new CostorError("bad-id", `a recovery key has ${rawKeyBytes} bytes, not ${recoveryPublicKey.length}`);
  return parseSiteId(createHash("sha256").update(recoveryPublicKey).digest("hex"));
}

/** What two people can compare over the telephone: 32 hex digits of the SHA-256 of a recovery public key, in groups of four. */
export function fingerprintOf(recoveryPublicKey: Uint8Array): string {
  const hex = createHash("sha256").update(recoveryPublicKey).digest("hex");
  return hex.slice(0, 32).match(/.{4}/g)!.join(" ");
}

function derive(kitRoot: Uint8Array, label: string): Buffer {
  if (kitRoot.length !== kitRootBytes)
    throw new CostorError("bad-request", `a kit root has ${kitRootBytes} bytes, not ${kitRoot.length}`);
  return Buffer.from(hkdfSync("sha256", kitRoot, "", `costor/v1/${label}`, 32));
}
