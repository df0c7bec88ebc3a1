/**
 * The enrolment token: one line that a person carries from the site to the machine to protect. It says where the site
 * is, which site it must be, and holds a secret that is good for one enrolment.
 *
 * Text form: `costor1-` and base32 (RFC 4648, lower case, no padding) of the canonical CBOR map
 * {a: addresses, c: SHA-256 of the CA certificate's DER, i: SiteId, k: secret} followed by the first 4 bytes of the
 * SHA-256 of that map. Spec: docs/specs/http.md.
 */
import { createHash } from "node:crypto";
import { base32 } from "multiformats/bases/base32";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import { CostorError } from "./errors.ts";
import { type SiteId, parseSiteId } from "./ids.ts";
import { limits } from "./limits.ts";

export interface EnrolToken {
  /** Where the site listens, best first: `host:port`, an IPv6 address in brackets. */
  readonly addresses: readonly string[];
  readonly siteId: SiteId;
  /** SHA-256 of the DER of the facade's CA certificate, 32 bytes. */
  readonly caHash: Uint8Array;
  /** 16 random bytes, good for one enrolment. */
  readonly secret: Uint8Array;
}

const PREFIX = "costor1-";
const CHECKSUM_BYTES = 4;
const ADDRESS = /^(\[[0-9a-fA-F:.]+(%[\w.-]+)?\]|[A-Za-z0-9._-]+):([1-9][0-9]{0,4})$/;

const checksumOf = (bytes: Uint8Array): Buffer =>
  createHash("sha256").update(bytes).digest().subarray(0, CHECKSUM_BYTES);

/** Throws `bad-request` for an address that is not `host:port`, or for too many. */
export function formatEnrolToken(token: EnrolToken): string {
  checkAddresses(token.addresses, "bad-request");
  const bytes = encodeCbor({
    a: token.addresses,
    c: token.caHash,
    i: Buffer.from(token.siteId, "hex"),
    k: token.secret,
  });
  return PREFIX + base32.baseEncode(Buffer.concat([bytes, checksumOf(bytes)]));
}

/** Throws `bad-token`; case and white space around do not matter. */
export function parseEnrolToken(text: string): EnrolToken {
  const fail = (reason: string, cause?: unknown): never => {
    throw new CostorError("bad-token", `not an enrolment token: ${reason}`, { cause });
  };
  const trimmed = text.trim().toLowerCase();
  if (!trimmed.startsWith(PREFIX)) return fail(`one starts with ${PREFIX}`);
  if (trimmed.length > limits.enrolTokenCharacters) return fail("it is too long");
  let all: Buffer;
  try {
    all = Buffer.from(base32.baseDecode(trimmed.slice(PREFIX.length)));
  } catch (cause) {
    return fail("a part is missing, or it holds a character that no token has", cause);
  }
  const bytes = all.subarray(0, Math.max(0, all.length - CHECKSUM_BYTES));
  if (!checksumOf(bytes).equals(all.subarray(bytes.length)))
    return fail("its check does not match; a part is missing or mistyped");
  return parseFields(bytes, fail);
}

function parseFields(bytes: Uint8Array, fail: (reason: string, cause?: unknown) => never): EnrolToken {
  try {
    const map = decodeCbor(bytes) as Record<string, unknown>;
    const { a: addresses, c: caHash, i: siteId, k: secret } = map;
    if (
      !Array.isArray(addresses) ||
      !(caHash instanceof Uint8Array) ||
      !(siteId instanceof Uint8Array) ||
      !(secret instanceof Uint8Array)
    ) {
      return fail("a field is missing");
    }
    if (caHash.length !== 32 || secret.length !== 16 || Object.keys(map).length !== 4)
      return fail("a field has the wrong length");
    checkAddresses(addresses, "bad-token");
    return { addresses, siteId: parseSiteId(Buffer.from(siteId).toString("hex")), caHash, secret };
  } catch (cause) {
    return fail("its fields are wrong", cause);
  }
}

function checkAddresses(
  addresses: readonly unknown[],
  code: "bad-request" | "bad-token",
): asserts addresses is readonly string[] {
  if (addresses.length < 1 || addresses.length > limits.enrolTokenAddressesCount) {
    throw new CostorError(
      code,
      `an enrolment token carries 1 to ${limits.enrolTokenAddressesCount} addresses, not ${addresses.length}`,
    );
  }
  for (const address of addresses) {
    const port = typeof address === "string" && address.length <= 260 ? Number(ADDRESS.exec(address)?.[3]) : NaN;
    if (!(port <= 65_535)) throw new CostorError(code, "an address of an enrolment token is not host:port");
  }
}
