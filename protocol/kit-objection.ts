/** Says by a site's recovery key that its people have not asked for another one. docs/specs/membership.md, "A lost kit" */
import { publicKeyOf, signEd25519, verifyEd25519 } from "./raw-keys.ts";

const DOMAIN = Buffer.from("costor/v1/kit-objection\0");

export interface KitObjection {
  /** The recovery public key that signs, 32 bytes. */
  readonly key: Buffer;
  readonly signature: Buffer;
}

const signedBytes = (linkHash: string): Buffer => Buffer.concat([DOMAIN, Buffer.from(linkHash, "hex")]);

/** `linkHash`: of the link to the new key, as `RecoveryLink.hash`. */
export const signKitObjection = (linkHash: string, recoverySeed: Uint8Array): KitObjection => ({
  key: publicKeyOf("ed25519", recoverySeed),
  signature: signEd25519(recoverySeed, signedBytes(linkHash)),
});

/** Whose key it is the caller looks at. */
export const isKitObjection = (linkHash: string, { key, signature }: KitObjection): boolean =>
  verifyEd25519(key, signedBytes(linkHash), signature);
