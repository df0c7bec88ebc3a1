/** Opens content primes for an export and keeps the newest ones, since the small files of a bundle follow one another. */
import type { PrimeId } from "#protocol/ids.ts";
import { openPrime } from "#protocol/sealing.ts";
import { type ContentSlice, failTree } from "#protocol/tree.ts";

export interface OpenedPrimesComponents {
  /** The stored bytes of a prime; need not be verified. Throws `prime-missing`. */
  fetchPrime(id: PrimeId): Promise<Uint8Array>;
}

export class OpenedPrimes {
  private readonly components: OpenedPrimesComponents;
  private readonly limitBytes: number;
  /** In order of use, the newest last. */
  private readonly opened = new Map<PrimeId, { readonly plain: Promise<Buffer>; readonly bytes: number }>();
  private openedBytes = 0;

  /** @param limitBytes plaintext kept; the prime that was asked for last is always kept */
  constructor(components: OpenedPrimesComponents, init: { readonly limitBytes: number }) {
    this.components = components;
    this.limitBytes = init.limitBytes;
  }

  /** The bytes of a slice, a view of its prime's plaintext. Throws `prime-missing`, `prime-corrupt`, `tree-invalid`. */
  async openSlice(slice: ContentSlice): Promise<Buffer> {
    const { prime, offsetBytes, lengthBytes } = slice;
    if (offsetBytes + lengthBytes > prime.lengthBytes) failTree("a slice beyond its prime");
    const known = this.opened.get(prime.id);
    const plain =
      known?.plain ?? this.components.fetchPrime(prime.id).then((stored) => openPrime(stored, prime, "content"));
    if (known) this.opened.delete(prime.id);
    else this.openedBytes += prime.lengthBytes;
    const entry = known ?? { plain, bytes: prime.lengthBytes };
    this.opened.set(prime.id, entry);
    if (!known) {
      plain.catch(() => {
        if (this.opened.get(prime.id) === entry) this.drop(prime.id, entry.bytes);
      });
      this.evict(prime.id);
    }
    return (await plain).subarray(offsetBytes, offsetBytes + lengthBytes);
  }

  private evict(newest: PrimeId): void {
    for (const [id, { bytes }] of this.opened) {
      if (this.openedBytes <= this.limitBytes || id === newest) return;
      this.drop(id, bytes);
    }
  }

  private drop(id: PrimeId, bytes: number): void {
    this.opened.delete(id);
    this.openedBytes -= bytes;
  }
}
