/** Who a simulated site is: its kit's recovery key, and the machine that acts for it in one epoch. */
import { createHash } from "node:crypto";
import { type Log, openLog } from "#ledger/entry.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { type PeerKey, type SiteId, parsePeerKey } from "#protocol/ids.ts";
import { deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";

export interface SimIdentity {
  readonly siteId: SiteId;
  readonly epoch: number;
  readonly peerSeed: Buffer;
  readonly peerKey: PeerKey;
  readonly log: Log;
  /** As the kit's. */
  readonly recoverySeed: Buffer;
}

/** The machine of epoch `epoch` of a site; the same origin gives the same site. */
export function makeIdentity(origin: string, epoch: number): SimIdentity {
  const recovery = deriveRecoveryKey(sha256(`${origin} kit`));
  const siteId = siteIdOf(recovery.publicKey);
  const peerSeed = sha256(`${origin} machine ${epoch}`);
  const peerPublicKey = publicKeyOf("ed25519", peerSeed);
  const certificate = { siteId, peerPublicKey, epoch, previousHead: null };
  return {
    siteId,
    epoch,
    peerSeed,
    peerKey: parsePeerKey(peerPublicKey.toString("hex")),
    log: openLog(signEpochCertificate(certificate, recovery.seed)),
    recoverySeed: recovery.seed,
  };
}

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
