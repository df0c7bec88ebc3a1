/**
 * The facade's certificates: a CA of the site's own, pinned by its agents through the enrolment token, and a leaf that the CA
 * signs anew whenever it grows old or the site's addresses change. Loaded only when one has to be made: the X.509
 * library costs a tenth of a second.
 */
import "reflect-metadata";
import { randomBytes, type webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { CertificateNames, KeyAndCertificate } from "./pem.ts";

x509.cryptoProvider.set(globalThis.crypto);

const DAY_MS = 24 * 3600 * 1000;
/** A clock that is behind by less still accepts a new certificate. */
const BACKDATED_MS = 2 * DAY_MS;
const CA_LIFE_MS = 30 * 365 * DAY_MS;
const LEAF_LIFE_MS = 180 * DAY_MS;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

const makeKeys = () => globalThis.crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);

async function withExportedKey(
  certificate: x509.X509Certificate,
  key: webcrypto.CryptoKey,
): Promise<KeyAndCertificate> {
  const pkcs8 = await globalThis.crypto.subtle.exportKey("pkcs8", key);
  return { key: new Uint8Array(pkcs8), certificate: new Uint8Array(certificate.rawData) };
}

/** Positive, as RFC 5280 (4.1.2.2) has it. */
const makeSerialNumber = (): string => "01" + randomBytes(15).toString("hex");

export async function makeCa(commonName: string, nowMs: number): Promise<KeyAndCertificate> {
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: makeSerialNumber(),
    name: [{ CN: [commonName] }],
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + CA_LIFE_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return withExportedKey(certificate, keys.privateKey);
}

export async function makeLeaf(
  ca: KeyAndCertificate,
  names: CertificateNames,
  nowMs: number,
): Promise<KeyAndCertificate> {
  const keys = await makeKeys();
  const issuer = new x509.X509Certificate(Buffer.from(ca.certificate));
  const signingKey = await globalThis.crypto.subtle.importKey("pkcs8", Buffer.from(ca.key), ALGORITHM, false, ["sign"]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: makeSerialNumber(),
    issuer: issuer.subjectName,
    subject: [{ CN: ["CoStor site"] }],
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + LEAF_LIFE_MS),
    signingKey,
    publicKey: keys.publicKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        ...names.dns.map((value) => ({ type: "dns" as const, value })),
        ...names.ip.map((value) => ({ type: "ip" as const, value })),
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return withExportedKey(certificate, keys.privateKey);
}
