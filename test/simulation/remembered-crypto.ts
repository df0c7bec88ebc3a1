/**
 * Signatures of simulated sites: a hash in place of what Ed25519 makes, remembered with its key and message, so that making and
 * verifying cost next to nothing; whatever was not made here is verified by the real thing, and fails. Five hundred sites verify each
 * entry, and that would be all that a run does.
 */
import crypto, { type KeyObject } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

/** About 400 MB; the oldest are forgotten first, and fail from then on. */
const MOST_COUNT = 1_000_000;

type MakeKey = (input: { key: Buffer; format: "der"; type: "spki" | "pkcs8" }) => KeyObject;

interface Signed {
  readonly key: KeyObject;
  readonly message: Buffer;
}

export class RememberedCrypto implements Disposable {
  readonly #real = {
    sign: crypto.sign,
    verify: crypto.verify,
    createPublicKey: crypto.createPublicKey,
    createPrivateKey: crypto.createPrivateKey,
  };
  readonly #publicKeys = new Map<string, KeyObject>();
  readonly #privateKeys = new Map<string, KeyObject>();
  /** Of each private key: its public one, and what its signatures begin with. */
  readonly #signers = new Map<KeyObject, { publicKey: KeyObject; secret: Buffer }>();
  readonly #signed = new Map<string, Signed>();

  constructor() {
    const { createPublicKey, createPrivateKey } = this.#real;
    Object.assign(crypto, {
      sign: (_: null, message: Uint8Array, key: KeyObject) => this.#sign(message, key),
      verify: (_: null, message: Uint8Array, key: KeyObject, signature: Uint8Array) =>
        this.#verify(message, key, signature),
      createPublicKey: remember(createPublicKey as MakeKey, this.#publicKeys),
      createPrivateKey: remember(createPrivateKey as MakeKey, this.#privateKeys),
    });
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    Object.assign(crypto, this.#real);
    syncBuiltinESMExports();
  }

  #sign(message: Uint8Array, key: KeyObject): Buffer {
    let signer = this.#signers.get(key);
    if (!signer) {
      const secret = key.export({ format: "der", type: "pkcs8" });
      const spki = this.#real.createPublicKey(key as never).export({ format: "der", type: "spki" });
      signer = { publicKey: crypto.createPublicKey({ key: spki, format: "der", type: "spki" }), secret };
      this.#signers.set(key, signer);
    }
    const signature = crypto.createHash("sha512").update(signer.secret).update(message).digest();
    if (this.#signed.size >= MOST_COUNT) this.#signed.delete(this.#signed.keys().next().value!);
    this.#signed.set(signature.toString("latin1"), { key: signer.publicKey, message: Buffer.from(message) });
    return signature;
  }

  #verify(message: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
    const known = this.#signed.get(Buffer.from(signature).toString("latin1"));
    // A log that an earlier run has read has a key object of that run.
    if (known) return (known.key === key || known.key.equals(key)) && known.message.equals(message);
    return this.#real.verify(null, message, key, signature);
  }
}

/** Keys by their bytes; others are made anew. */
function remember(make: MakeKey, keys: Map<string, KeyObject>): MakeKey {
  return (input) => {
    if (!(input.key instanceof Uint8Array)) return make(input);
    const name = input.key.toString("latin1");
    const key = keys.get(name) ?? make(input);
    keys.set(name, key);
    return key;
  };
}
