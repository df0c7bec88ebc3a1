/**
 * Who let this site in, and where it was then: the way to the first look at the ledger, also after a stop in the middle of joining, and back
 * when nothing newer helps.
 */
import * as v from "valibot";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type PeerKey, parsePeerKey } from "#protocol/ids.ts";

const FACT = { kind: "federation", key: "inviter" } as const;
const schema = v.strictObject({
  peer: v.pipe(
    v.string(),
    v.transform((text): PeerKey => parsePeerKey(text)),
  ),
  addresses: v.array(v.string()),
  /** Of its machine, where it was met as the inviter. */
  certificate: v.optional(v.instance(Uint8Array)),
});
type Inviter = v.InferOutput<typeof schema>;

export class InviterAddress {
  readonly #store: Pick<PrimeStore, "appendFacts">;
  #inviter: Inviter | undefined;

  private constructor(store: Pick<PrimeStore, "appendFacts">, inviter: Inviter | undefined) {
    this.#store = store;
    this.#inviter = inviter;
  }

  static async open(store: Pick<PrimeStore, "appendFacts" | "fact">): Promise<InviterAddress> {
    const value = await store.fact(FACT.kind, FACT.key);
    return new InviterAddress(store, value && readFactValue(value, schema, "inviter"));
  }

  async keep(inviter: Inviter): Promise<void> {
    await this.#store.appendFacts([{ ...FACT, value: encodeCbor(inviter) }]);
    this.#inviter = inviter;
  }

  get certificate(): Uint8Array | undefined {
    return this.#inviter?.certificate;
  }

  of(peer: PeerKey): readonly string[] {
    return this.#inviter?.peer === peer ? this.#inviter.addresses : [];
  }
}
