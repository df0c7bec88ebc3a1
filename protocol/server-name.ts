/**
 * The TLS server name of a site: fixed by its SiteId, so that a certificate stays right whatever address the site has.
 * Agents send it as SNI and check the certificate against it. It is never looked up: `.internal` is reserved for
 * private use, and 64 hex digits would be one too many for a DNS label, hence base32 (52 characters).
 */
import { base32 } from "multiformats/bases/base32";
import type { SiteId } from "./ids.ts";

export const serverNameOf = (siteId: SiteId): string =>
  `${base32.baseEncode(Buffer.from(siteId, "hex"))}.costor.internal`;
