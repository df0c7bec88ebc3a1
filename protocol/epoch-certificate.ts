/**
 * The certificate by which a site's recovery key makes one machine act as the site for one epoch. docs/specs/keys.md
 *
 * The signature is over the exact bytes of the body behind a domain separator, so no other signature of the key can pass
 * for one.
 */
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from "./cbor.ts";
import { CostorError } from "./errors.ts";
import type { SiteId } from "./ids.ts";
import { siteIdOf } from "./keys.ts";
import { type RecoveryLink, parseRecoveryChain } from "./recovery-chain.ts";
import { isSmallOrder, publicKeyOf, rawKeyBytes, signEd25519, verifyEd25519 } from "./raw-keys.ts";

export interface EpochCertificate {
  readonly siteId: SiteId;
  /** Ed25519 public key of the machine's PeerId, 32 bytes. */
  readonly peerPublicKey: Uint8Array;
  /** From 1; the highest wins. */
  readonly epoch: number;
  /** Hash of the newest entry of the epoch before, 32 bytes, as far as it is known. */
  readonly previousHead: Uint8Array | null;
}

const DOMAIN = Buffer.from("costor/v1/epoch-certificate\0");
const BODY_KEYS = ["epoch", "head", "peer", "site"];
const HASH_BYTES = 32;

/** A certificate that was verified, and by which key. */
export interface VerifiedCertificate extends EpochCertificate {
  /** Of the recovery key that has signed it, 32 bytes. */
  readonly recoveryKey: Uint8Array;
  /** From the site's first key to that one; empty for the first. */
  readonly chain: readonly RecoveryLink[];
}

/** `chain` leads from the site's first recovery key to this one, and is empty for the first. */
export function signEpochCertificate(
  { siteId, peerPublicKey, epoch, previousHead }: EpochCertificate,
  recoverySeed: Uint8Array,
  chain: readonly Uint8Array[] = [],
): Buffer {
  const body = encodeCbor({ site: Buffer.from(siteId, "hex"), peer: peerPublicKey, epoch, head: previousHead });
  const signature = signEd25519(recoverySeed, Buffer.concat([DOMAIN, body]));
  const key = publicKeyOf("ed25519", recoverySeed);
  return encodeCbor({ body, key, signature, ...(chain.length === 0 ? {} : { chain }) });
}

/**
 * Throws `bad-encoding` for what is no certificate, and `signature-invalid` unless the site's first recovery key has signed it, or one to which
 * the chain in it leads.
 */
export function parseEpochCertificate(bytes: Uint8Array): VerifiedCertificate {
  const { body, key, signature, chain: chainBytes } = outerFields(bytes);
  const { site, peer, epoch, head } = asMap(decodeCbor(asBytes(body)), BODY_KEYS);
  if (typeof epoch !== "number" || !Number.isSafeInteger(epoch) || epoch < 1)
    throw invalid("its epoch is not a number from 1");
  const siteId = asBytes(site, HASH_BYTES).toString("hex") as SiteId;
  const chain = parseRecoveryChain(chainBytes, siteId);
  const recoveryKey = asBytes(key, rawKeyBytes);
  const certificate = {
    siteId,
    recoveryKey,
    chain,
    peerPublicKey: asBytes(peer, rawKeyBytes),
    epoch,
    previousHead: head === null ? null : asBytes(head, HASH_BYTES),
  };
  if (
    !(chain.length === 0 ? siteIdOf(recoveryKey) === siteId : recoveryKey.equals(chain.at(-1)!.key)) ||
    !verifyEd25519(recoveryKey, Buffer.concat([DOMAIN, asBytes(body)]), asBytes(signature))
  ) {
    throw new CostorError(
      "signature-invalid",
      `the epoch certificate is not signed by the recovery key of site ${siteId}`,
    );
  }
  if (isSmallOrder(certificate.peerPublicKey))
    throw new CostorError(
      "signature-invalid",
      "the epoch certificate is for a key of small order, by which anybody can sign",
    );
  return certificate;
}

/** Whose machine it says that which is, whoever has signed it: to be asked before a signature is verified. Throws `bad-encoding`. */
export function claimOf(bytes: Uint8Array): Pick<EpochCertificate, "siteId" | "peerPublicKey"> {
  const { site, peer } = asMap(decodeCbor(epochCertificateBody(bytes)), BODY_KEYS);
  return {
    siteId: asBytes(site, HASH_BYTES).toString("hex") as SiteId,
    peerPublicKey: asBytes(peer, rawKeyBytes),
  };
}

/** The bytes that a certificate signs. Throws `bad-encoding`. */
export const epochCertificateBody = (bytes: Uint8Array): Buffer => asBytes(outerFields(bytes).body);

/** The field `chain` is there only when it says something, so that there is one encoding. */
function outerFields(bytes: Uint8Array): {
  body?: CborValue;
  key?: CborValue;
  signature?: CborValue;
  chain: readonly Uint8Array[];
} {
  const map = decodeCbor(bytes);
  const hasChain = typeof map === "object" && map !== null && Object.hasOwn(map, "chain");
  const { chain, ...fields } = asMap(map, ["body", ...(hasChain ? ["chain"] : []), "key", "signature"]);
  if (!hasChain) return { ...fields, chain: [] };
  if (!Array.isArray(chain) || chain.length === 0) throw invalid("its chain has no link");
  return { ...fields, chain: chain.map((link: CborValue) => asBytes(link)) };
}

function asMap(value: CborValue, keys: readonly string[]): CborMap {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw invalid("a map is expected");
  const map = value as CborMap;
  if (Object.keys(map).toSorted().join() !== keys.join()) throw invalid(`the fields ${keys.join(", ")} are expected`);
  return map;
}

function asBytes(value: CborValue | undefined, lengthBytes?: number): Buffer {
  if (!(value instanceof Uint8Array) || (lengthBytes !== undefined && value.length !== lengthBytes))
    throw invalid(`${lengthBytes ?? "some"} bytes are expected`);
  return Buffer.from(value.buffer, value.byteOffset, value.length);
}

const invalid = (message: string): CostorError =>
  new CostorError("bad-encoding", `not an epoch certificate: ${message}`);
