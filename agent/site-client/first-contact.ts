/**
 * The first contact of a machine with its site: reads the certificates that the server shows and sends nothing, until one
 * of them is found to be the authority whose hash the enrolment token carries. From then on only that one is trusted.
 */
import { createHash } from "node:crypto";
import { connect, type DetailedPeerCertificate, type TLSSocket } from "node:tls";
import type { SiteSettings } from "#agent/config/agent-config.ts";
import { CostorError } from "#protocol/errors.ts";
import type { EnrolToken } from "#protocol/enrol-token.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import { describeConnectionFailure } from "./failure.ts";
import { parseSiteAddress, type SiteAddress } from "./site-address.ts";

const HANDSHAKE_MS = 10_000;
/** A chain is a leaf and its authority; more is no chain of a site. */
const CHAIN_MOST_COUNT = 8;

/**
 * The site that `token` names. Throws `site-identity-changed` when a server answers that is another one, and
 * `site-unreachable` when none does.
 */
export async function meetSite(token: EnrolToken, signal?: AbortSignal): Promise<SiteSettings> {
  const failures: CostorError[] = [];
  const addresses = token.addresses.map((text) => parseSiteAddress(text)).filter((address) => address !== undefined);
  for (const [index, address] of addresses.entries()) {
    signal?.throwIfAborted();
    try {
      const caCertificate = await readAuthority(address, token, signal);
      // The address that answers is tried first from now on.
      return { addresses: [address, ...addresses.toSpliced(index, 1)], siteId: token.siteId, caCertificate };
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(
        error instanceof CostorError ? error : describeConnectionFailure(error as Error, token.addresses[index]!),
      );
    }
  }
  throw failures.find((error) => error.code === "site-identity-changed") ?? failures[0]!;
}

/** PEM of the certificate with the token's hash, from the chain that the server at `address` shows. */
async function readAuthority(address: SiteAddress, token: EnrolToken, signal?: AbortSignal): Promise<string> {
  const socket = connect({
    host: address.host,
    port: address.port,
    servername: serverNameOf(token.siteId),
    minVersion: "TLSv1.3",
    // The chain is judged below, by the hash from the token; nothing is written to this connection.
    rejectUnauthorized: false,
  });
  const { promise, resolve, reject } = Promise.withResolvers<DetailedPeerCertificate>();
  const timer = setTimeout(
    () => reject(Object.assign(new Error("no connection"), { code: "ETIMEDOUT" })),
    HANDSHAKE_MS,
  );
  const abort = (): void => reject(signal!.reason);
  signal?.addEventListener("abort", abort, { once: true });
  socket.once("secureConnect", () => resolve((socket as TLSSocket).getPeerCertificate(true)));
  socket.once("error", reject);
  socket.once("close", () => reject(Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" })));
  try {
    return findAuthority(await promise, token.caHash, `${address.host}:${address.port}`);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    socket.on("error", () => undefined);
    socket.destroy();
  }
}

function findAuthority(leaf: DetailedPeerCertificate, caHash: Uint8Array, address: string): string {
  let certificate: DetailedPeerCertificate | undefined = leaf;
  for (let count = 0; certificate?.raw && count < CHAIN_MOST_COUNT; count++) {
    if (createHash("sha256").update(certificate.raw).digest().equals(caHash)) return pemOf(certificate.raw);
    if (certificate.issuerCertificate === certificate) break;
    certificate = certificate.issuerCertificate;
  }
  throw new CostorError("site-identity-changed", `${address} is not the site that the enrolment token was made at`, {
    details: { address },
  });
}

function pemOf(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
