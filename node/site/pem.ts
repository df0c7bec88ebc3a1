/** Keys and certificates as Node's TLS takes them. */
import { createPrivateKey } from "node:crypto";

export interface KeyAndCertificate {
  /** PKCS #8, DER. */
  readonly key: Uint8Array;
  /** DER. */
  readonly certificate: Uint8Array;
}

/** What a certificate is good for. */
export interface CertificateNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

/** PEM of a DER certificate. */
export function certificatePem(der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** PEM of a PKCS #8 key. */
export const keyPem = (pkcs8: Uint8Array): string =>
  createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" }).export({
    format: "pem",
    type: "pkcs8",
  }) as string;
