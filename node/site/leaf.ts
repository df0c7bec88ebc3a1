/** The facade's leaf certificate: kept in `<data>/site/leaf`, made anew when it is old, damaged or lacks a name. */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { join } from "node:path";
import * as v from "valibot";
import { serverNameOf } from "#protocol/server-name.ts";
import { isNoSpace } from "#node/store/disk.ts";
import { replaceDurably } from "./durable-file.ts";
import { readEnvelope, sealEnvelope } from "./envelope.ts";
import type { SiteIdentity, SiteSecrets } from "./identity.ts";
import { type CertificateNames, type KeyAndCertificate, certificatePem, keyPem } from "./pem.ts";

const FORMAT = "costor/site-leaf/1";
/** A leaf is replaced this long before it ends, so that a site that is off for a summer holiday still has a good one. */
const RENEW_BEFORE_MS = 60 * 24 * 3600 * 1000;

const schema = v.strictObject({ key: v.instance(Uint8Array), certificate: v.instance(Uint8Array) });

/** What Node's TLS server takes: the leaf's key, and the chain with the CA, which agents check by its hash. */
export interface ServerCredentials {
  readonly key: string;
  readonly cert: string;
  readonly expiresMs: number;
}

/** Names for the certificate of a site that is reached at `hosts`: its server name and localhost are always among them. */
function certificateNamesOf(identity: SiteIdentity, hosts: readonly string[]): CertificateNames {
  const bare = [
    ...new Set([
      "localhost",
      "127.0.0.1",
      "::1",
      ...hosts.map((host) => host.replace(/^\[|\]$/g, "").replace(/%.*$/, "")),
    ]),
  ];
  return {
    dns: [serverNameOf(identity.siteId), ...bare.filter((host) => isIP(host) === 0)],
    ip: bare.filter((host) => isIP(host) !== 0),
  };
}

function serves(leaf: KeyAndCertificate, ca: X509Certificate, names: CertificateNames, nowMs: number): boolean {
  const certificate = new X509Certificate(leaf.certificate);
  if (!certificate.verify(ca.publicKey)) return false;
  const good =
    certificate.validFromDate.getTime() <= nowMs && certificate.validToDate.getTime() - RENEW_BEFORE_MS > nowMs;
  return (
    good && names.dns.every((name) => certificate.checkHost(name)) && names.ip.every((ip) => certificate.checkIP(ip))
  );
}

export interface LeafComponents {
  readonly siteDirectory: string;
  readonly identity: SiteIdentity;
  readonly secrets: SiteSecrets;
}

/** The leaf at hand when it is good for `hosts` and for a while, else a new one. A damaged file counts as none. */
export async function provideLeaf(
  components: LeafComponents,
  hosts: readonly string[],
  nowMs: number,
): Promise<ServerCredentials> {
  const { siteDirectory, identity, secrets } = components;
  const path = join(siteDirectory, "leaf");
  const names = certificateNamesOf(identity, hosts);
  let leaf: KeyAndCertificate | undefined = await readEnvelope(path, FORMAT, schema).catch(() => undefined);
  if (leaf === undefined || !serves(leaf, new X509Certificate(identity.caCertificate), names, nowMs)) {
    const { makeLeaf } = await import("./certificates.ts");
    leaf = await makeLeaf({ key: secrets.caKey, certificate: identity.caCertificate }, names, nowMs);
    // It serves without being kept: on a full disk the next start makes another one.
    await replaceDurably(path, sealEnvelope(FORMAT, { ...leaf })).catch((error: unknown) => {
      if (!isNoSpace(error)) throw error;
    });
  }
  return {
    key: keyPem(leaf.key),
    cert: certificatePem(leaf.certificate) + certificatePem(identity.caCertificate),
    expiresMs: new X509Certificate(leaf.certificate).validToDate.getTime(),
  };
}
