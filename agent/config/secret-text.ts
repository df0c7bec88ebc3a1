/**
 * Secrets as they stand in the configuration file: `costor-<kind>-` and base64url of the bytes with a check of 8 bytes
 * behind them, so that any changed, missing or added character is noticed before the secret is used.
 */
import { createHash } from "node:crypto";

export type SecretKind = "token" | "scope";

const CHECK_BYTES = 8;

function checkOf(kind: SecretKind, bytes: Uint8Array): Buffer {
  return createHash("sha256").update(`costor/v1/secret-text/${kind}\0`).update(bytes).digest().subarray(0, CHECK_BYTES);
}

export function formatSecret(kind: SecretKind, bytes: Uint8Array): string {
  return `costor-${kind}-${Buffer.concat([bytes, checkOf(kind, bytes)]).toString("base64url")}`;
}

/** The bytes of a secret's text; undefined when a character was changed, lost or added. */
export function parseSecret(kind: SecretKind, text: string): Buffer | undefined {
  const prefix = `costor-${kind}-`;
  if (!text.startsWith(prefix)) return undefined;
  const encoded = text.slice(prefix.length);
  const whole = Buffer.from(encoded, "base64url");
  if (whole.length <= CHECK_BYTES || whole.toString("base64url") !== encoded) return undefined;
  const bytes = whole.subarray(0, whole.length - CHECK_BYTES);
  return checkOf(kind, bytes).equals(whole.subarray(bytes.length)) ? bytes : undefined;
}

/** What an agent and its site are to each other; written together, so changed only together. */
export interface IdentityParts {
  readonly siteId: string;
  /** PEM. */
  readonly caCertificate: string;
  readonly agentId: string;
}

/** A check over the identities, which carry none of their own. Line breaks and spaces of the PEM text do not count. */
export function identityChecksum(parts: IdentityParts): string {
  const certificate = parts.caCertificate.replaceAll(/\s+/g, "");
  const digest = createHash("sha256")
    .update(JSON.stringify(["costor/v1/identity", parts.siteId, certificate, parts.agentId]))
    .digest();
  return digest.toString("hex", 0, CHECK_BYTES);
}
