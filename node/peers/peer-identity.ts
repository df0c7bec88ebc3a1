/** A machine's identity as CoStor writes it (the key) and as libp2p does (the PeerId made of it). */
import { generateKeyPairFromSeed, publicKeyFromRaw } from "@libp2p/crypto/keys";
import type { Ed25519PrivateKey, PeerId } from "@libp2p/interface";
import { peerIdFromPublicKey } from "@libp2p/peer-id";
import { parsePeerKey, type PeerKey } from "#protocol/ids.ts";

export const peerIdOf = (peer: PeerKey): PeerId => peerIdFromPublicKey(publicKeyFromRaw(Buffer.from(peer, "hex")));

/** Undefined for identities of other kinds than Ed25519, which no site has. */
export function peerKeyOf(peerId: PeerId): PeerKey | undefined {
  if (peerId.type !== "Ed25519") return undefined;
  return parsePeerKey(Buffer.from(peerId.publicKey.raw).toString("hex"));
}

/** The key pair whose Ed25519 seed is `peerSeed`. */
export const privateKeyFrom = (peerSeed: Uint8Array): Promise<Ed25519PrivateKey> =>
  generateKeyPairFromSeed("Ed25519", peerSeed);
