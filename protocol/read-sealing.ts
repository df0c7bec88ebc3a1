/**
 * Sealing to a site's read key by HPKE (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode.
 * What is sealed is bound to its place by `context`, so that no record passes for another's. docs/specs/keys.md
 */
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { CostorError, isCostorError } from "./errors.ts";
import { type AgentId, type SiteId, type SnapshotId, uuidToBytes } from "./ids.ts";
import { rawKeyBytes } from "./raw-keys.ts";

const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
const VERSION = 1;
const INFO = Buffer.from("costor/v1/read-sealing");
const TAG_BYTES = 16;

/** The context of a snapshot's root: 64 bytes. */
export const snapshotContext = (siteId: SiteId, agentId: AgentId, snapshotId: SnapshotId): Buffer =>
  Buffer.concat([Buffer.from(siteId, "hex"), uuidToBytes(agentId), uuidToBytes(snapshotId)]);

/** Version byte ‖ encapsulated key (32) ‖ ciphertext. */
export async function sealToReadKey(
  plain: Uint8Array,
  readPublicKey: Uint8Array,
  context: Uint8Array,
): Promise<Buffer> {
  const recipientPublicKey = await suite.kem.importKey("raw", arrayBufferOf(readPublicKey), true);
  const { enc, ct } = await suite.seal(
    { recipientPublicKey, info: INFO },
    arrayBufferOf(plain),
    arrayBufferOf(context),
  );
  return Buffer.concat([Buffer.of(VERSION), Buffer.from(enc), Buffer.from(ct)]);
}

/** Throws `seal-broken` for damage, for another key and for another context. */
export async function openWithReadKey(
  sealed: Uint8Array,
  readPrivateKey: Uint8Array,
  context: Uint8Array,
): Promise<Buffer> {
  if (sealed.length < 1 + rawKeyBytes + TAG_BYTES || sealed[0] !== VERSION)
    throw new CostorError("seal-broken", "the record is not sealed to a read key as this version does it");
  const enc = arrayBufferOf(sealed.subarray(1, 1 + rawKeyBytes));
  try {
    const recipientKey = await suite.kem.importKey("raw", arrayBufferOf(readPrivateKey), false);
    return Buffer.from(
      await suite.open(
        { recipientKey, enc, info: INFO },
        arrayBufferOf(sealed.subarray(1 + rawKeyBytes)),
        arrayBufferOf(context),
      ),
    );
  } catch (cause) {
    throw new CostorError("seal-broken", "the record was damaged, or sealed to another key or for another place", {
      cause,
    });
  }
}

/** With the first of the keys that opens it. Throws `seal-broken` when none does. */
export async function openWithAnyKey(
  sealed: Uint8Array,
  readPrivateKeys: readonly Uint8Array[],
  context: Uint8Array,
): Promise<Buffer> {
  let failure: unknown = new CostorError("seal-broken", "there is no key to open it");
  for (const key of readPrivateKeys) {
    try {
      return await openWithReadKey(sealed, key, context);
    } catch (error) {
      if (!isCostorError(error, "seal-broken")) throw error;
      failure = error;
    }
  }
  throw failure;
}

const arrayBufferOf = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;
