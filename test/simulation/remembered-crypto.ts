/**
 * Keys and signatures that are verified again and again give the same answer: here it is computed once for all simulated sites.
 * Five hundred of them verify each entry, and that would be all that a run does.
 */
import crypto, { type KeyObject } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

/** About 100 MB. */
const MOST_COUNT = 200_000;

type MakeKey = (input: { key: Buffer; format: "der"; type: "spki" | "pkcs8" }) => KeyObject;

export class RememberedCrypto implements Disposable {
  readonly #real = {
    verify: crypto.verify,
    createPublicKey: crypto.createPublicKey,
    createPrivateKey: crypto.createPrivateKey,
  };

  constructor() {
    const { verify, createPublicKey, createPrivateKey } = this.#real;
    const verdicts = new Map<string, { key: KeyObject; message: Buffer; verdict: boolean }>();
    const remember = (make: MakeKey): MakeKey => {
      const keys = new Map<string, KeyObject>();
      return (input) => {
        if (!(input.key instanceof Uint8Array)) return make(input);
        const name = input.key.toString("latin1");
        const key = keys.get(name) ?? make(input);
        if (keys.size < MOST_COUNT) keys.set(name, key);
        return key;
      };
    };
    const rememberedVerify = (algorithm: null, message: Buffer, key: KeyObject, signature: Buffer): boolean => {
      const name = Buffer.from(signature.buffer, signature.byteOffset, signature.length).toString("latin1");
      const known = verdicts.get(name);
      if (known?.key === key && known.message.equals(message)) return known.verdict;
      const verdict = verify(algorithm, message, key, signature);
      if (verdicts.size >= MOST_COUNT) verdicts.clear();
      verdicts.set(name, { key, message: Buffer.from(message), verdict });
      return verdict;
    };
    Object.assign(crypto, {
      verify: rememberedVerify,
      createPublicKey: remember(createPublicKey as MakeKey),
      createPrivateKey: remember(createPrivateKey as MakeKey),
    });
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    Object.assign(crypto, this.#real);
    syncBuiltinESMExports();
  }
}
