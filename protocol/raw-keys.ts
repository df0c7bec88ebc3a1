/** Ed25519 and X25519 keys as raw bytes, which is how CoStor stores and sends them; node:crypto wants them wrapped in DER. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";

const DER_PREFIX = {
  ed25519: {
    private: Buffer.from("302e020100300506032b657004220420", "hex"),
    public: Buffer.from("302a300506032b6570032100", "hex"),
  },
  x25519: {
    private: Buffer.from("302e020100300506032b656e04220420", "hex"),
    public: Buffer.from("302a300506032b656e032100", "hex"),
  },
};
export const rawKeyBytes = 32;
const signatureBytes = 64;

const privateKeyFrom = (curve: keyof typeof DER_PREFIX, raw: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([DER_PREFIX[curve].private, raw]), format: "der", type: "pkcs8" });

/** The 32-byte public key of a 32-byte private key (for Ed25519 its seed). */
export function publicKeyOf(curve: keyof typeof DER_PREFIX, privateKey: Uint8Array): Buffer {
  const der = createPublicKey(privateKeyFrom(curve, privateKey)).export({ format: "der", type: "spki" });
  return der.subarray(der.length - rawKeyBytes);
}

/** Points for which anybody can make signatures, in all their encodings but for the sign: RFC 8032 does not exclude them. */
const smallOrder = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/** Whether an Ed25519 public key is nobody's: its signatures prove nothing. */
export function isSmallOrder(publicKey: Uint8Array): boolean {
  const key = Buffer.from(publicKey);
  key[rawKeyBytes - 1]! &= 0x7f;
  return smallOrder.has(key.toString("hex"));
}

/** The 64-byte signature of `message` by the key whose seed is `seed`. */
export const signEd25519 = (seed: Uint8Array, message: Uint8Array): Buffer =>
  sign(null, message, privateKeyFrom("ed25519", seed));

/** Whether `signature` is that of `message`; false for signatures of a wrong length too. */
export type Ed25519Verifier = (message: Uint8Array, signature: Uint8Array) => boolean;

/** For many signatures of one key: reading the key costs about as much as using it. Of a key of a wrong length no signature is good. */
export function ed25519Verifier(publicKey: Uint8Array): Ed25519Verifier {
  if (publicKey.length !== rawKeyBytes) return () => false;
  const key = createPublicKey({
    key: Buffer.concat([DER_PREFIX.ed25519.public, publicKey]),
    format: "der",
    type: "spki",
  });
  return (message, signature) => signature.length === signatureBytes && verify(null, message, key, signature);
}

/** Whether `signature` is that of `message`; false for keys and signatures of a wrong length too. */
export const verifyEd25519 = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean =>
  ed25519Verifier(publicKey)(message, signature);
