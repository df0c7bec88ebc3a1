/**
 * Who a site is, and the keys that it holds, in two files under `<data>/site/`. The kit root is in neither: it exists only
 * in the recovery kit. Both files are written at the first run (node/site/first-run.ts), and anew with another kit (kit-replacement.ts). Spec: docs/specs/site-files.md.
 */
import { join } from "node:path";
import * as v from "valibot";
import type { SiteId } from "#protocol/ids.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { readEnvelope, sealEnvelope } from "./envelope.ts";

/** What anybody may know. */
export interface SiteIdentity {
  readonly siteName: string;
  /** SHA-256 of the first recovery public key. */
  readonly siteId: SiteId;
  /** Of now; Ed25519, 32 bytes. */
  readonly recoveryPublicKey: Uint8Array;
  /** Of this machine's epoch, signed by the recovery key of now. */
  readonly epochCertificate: Uint8Array;
  /** DER of the facade's CA certificate. */
  readonly caCertificate: Uint8Array;
  readonly madeMs: number;
}

export interface FormerReadKey {
  readonly generation: number;
  /** X25519, 32 bytes. */
  readonly privateKey: Uint8Array;
}

/** What only this server may know. */
export interface SiteSecrets {
  /** X25519, 32 bytes: opens what is sealed to the site. */
  readonly readPrivateKey: Uint8Array;
  readonly readGeneration: number;
  /** Of kits that were replaced, the newest first. */
  readonly formerReadKeys?: readonly FormerReadKey[] | undefined;
  /** The site's scope secret, 32 bytes; its agents have it too. */
  readonly scopeSecret: Uint8Array;
  /** Ed25519 seed of this machine's PeerId, 32 bytes. */
  readonly peerSeed: Uint8Array;
  /** PKCS #8 of the facade's CA key. */
  readonly caKey: Uint8Array;
}

const IDENTITY_FORMAT = "costor/site-identity/1";
const SECRETS_FORMAT = "costor/site-secrets/1";

const bytes = (lengthBytes: number) =>
  v.pipe(
    v.instance(Uint8Array),
    v.check((value) => value.length === lengthBytes, `not ${lengthBytes} bytes`),
  );
const someBytes = v.instance(Uint8Array);
const safeInteger = v.pipe(v.number(), v.safeInteger());

const identitySchema = v.strictObject({
  siteName: v.string(),
  recoveryPublicKey: bytes(32),
  siteId: v.pipe(
    v.string(),
    v.transform((text): SiteId => parseSiteId(text)),
  ),
  epochCertificate: someBytes,
  caCertificate: someBytes,
  madeMs: safeInteger,
});
const secretsSchema = v.strictObject({
  readPrivateKey: bytes(32),
  readGeneration: safeInteger,
  formerReadKeys: v.optional(v.array(v.strictObject({ generation: safeInteger, privateKey: bytes(32) }))),
  scopeSecret: bytes(32),
  peerSeed: bytes(32),
  caKey: someBytes,
});

/** What a new machine of the site cannot derive from the recovery kit: docs/specs/ledger.md, Sealed. */
export type IdentityState = Pick<SiteIdentity & SiteSecrets, "siteName" | "madeMs" | "caCertificate" | "caKey">;

export const encodeIdentityState = ({ siteName, madeMs, caCertificate, caKey }: IdentityState): Buffer =>
  encodeCbor({ siteName, madeMs, caCertificate, caKey });

const stateSchema = v.strictObject({
  siteName: v.string(),
  madeMs: safeInteger,
  caCertificate: someBytes,
  caKey: someBytes,
});

/** Throws `bad-encoding`. */
export function parseIdentityState(bytes: Uint8Array): IdentityState {
  const value = decodeCbor(bytes);
  const parsed = v.safeParse(stateSchema, typeof value === "object" ? { ...value } : value);
  if (parsed.success) return parsed.output;
  throw new CostorError("bad-encoding", `not the state of a site's identity: ${parsed.issues[0].message}`);
}

/** The directory of the site's own files in a data directory. */
export const siteDirectoryOf = (dataDirectory: string): string => join(dataDirectory, "site");
export const identityPathOf = (siteDirectory: string): string => join(siteDirectory, "identity");
export const secretsPathOf = (siteDirectory: string): string => join(siteDirectory, "secrets");

export const encodeIdentity = (identity: SiteIdentity): Buffer => sealEnvelope(IDENTITY_FORMAT, { ...identity });
export const encodeSecrets = ({ formerReadKeys, ...secrets }: SiteSecrets): Buffer =>
  sealEnvelope(SECRETS_FORMAT, {
    ...secrets,
    // Derived keys have a public key too.
    ...(formerReadKeys && {
      formerReadKeys: formerReadKeys.map(({ generation, privateKey }) => ({ generation, privateKey })),
    }),
  });

/** Throws `identity-damaged`. */
export const readIdentity = (siteDirectory: string): Promise<SiteIdentity> =>
  readEnvelope(identityPathOf(siteDirectory), IDENTITY_FORMAT, identitySchema);
/** Throws `identity-damaged`. */
export const readSecrets = (siteDirectory: string): Promise<SiteSecrets> =>
  readEnvelope(secretsPathOf(siteDirectory), SECRETS_FORMAT, secretsSchema);
