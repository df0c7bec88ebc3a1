import { createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import { CostorError } from "./errors.ts";

/**
 * The keys of one scope: everything that decides how plaintext becomes primes. Within a scope equal content becomes equal
 * primes; across scopes nothing can be compared. Whoever holds them can test guesses about content of the scope, and
 * can open nothing without a reference. docs/specs/keys.md
 */
export interface Scope {
  /** HMAC key that turns a payload into its encryption key. */
  readonly convergence: KeyObject;
  /** AES-256 key, 32 bytes, that decides which candidates are cuts. */
  readonly chunking: Uint8Array;
  /** AES-256 key, 32 bytes, that decides where bundles end. */
  readonly bundling: Uint8Array;
  /** HMAC key that decides where pages of trees are cut and names link groups. */
  readonly content: KeyObject;
}

/** The keys of the scope whose secret is `secret`, 32 bytes. */
export function deriveScope(secret: Uint8Array): Scope {
  if (secret.length !== 32) throw new CostorError("bad-request", `a scope secret has 32 bytes, not ${secret.length}`);
  const derive = (label: string): Buffer => Buffer.from(hkdfSync("sha256", secret, "", `costor/v1/${label}`, 32));
  return {
    convergence: createSecretKey(derive("scope/convergence")),
    chunking: derive("scope/chunking"),
    bundling: derive("scope/bundling"),
    content: createSecretKey(derive("scope/content")),
  };
}
