/** Small trees of primes, for tests of what reads and checks trees. */
import { randomBytes } from "node:crypto";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { type Scope, deriveScope } from "#protocol/scope.ts";
import { type PrimeReference, sealPrime } from "#protocol/sealing.ts";
import { type ContentSlice, type NodePointer, type TreeObject, encodeLeaf } from "#protocol/tree.ts";

const attributes = { mode: 0o644, uid: 1000, gid: 1000, mtimeNs: 1_700_000_000_000_000_001n };

export class TreeMaker {
  readonly scope: Scope = deriveScope(randomBytes(32));
  /** All that was sealed, in order. */
  readonly primes: StoredPrime[] = [];

  seal(plain: Uint8Array, kind: "content" | "tree"): PrimeReference {
    const { reference, stored } = sealPrime(plain, kind, this.scope);
    this.primes.push({ id: reference.id, stored });
    return reference;
  }

  file(name: string, content: Uint8Array = randomBytes(100)): TreeObject {
    const prime = this.seal(content, "content");
    return {
      ...attributes,
      name: byteStringFromText(name),
      type: "file",
      sizeBytes: content.length,
      content: { slices: [whole(prime)] },
    };
  }

  directory(name: string, node: NodePointer): TreeObject {
    return { ...attributes, name: byteStringFromText(name), type: "directory", node };
  }

  /** A node in a prime of its own. */
  node(objects: readonly TreeObject[]): NodePointer {
    return { slice: whole(this.seal(encodeLeaf(sorted(objects)), "tree")) };
  }

  inline(objects: readonly TreeObject[]): NodePointer {
    return { inline: encodeLeaf(sorted(objects)) };
  }
}

export const whole = (prime: PrimeReference): ContentSlice => ({
  prime,
  offsetBytes: 0,
  lengthBytes: prime.lengthBytes,
});

const sorted = (objects: readonly TreeObject[]): TreeObject[] =>
  objects.toSorted((left: { name: ByteString }, right: { name: ByteString }) => (left.name < right.name ? -1 : 1));
