/** A node pointer as the HTTP contract carries it, and as one text that names a node. */
import type { WireNodePointer } from "./http.ts";
import { parsePrimeId } from "./ids.ts";
import { CostorError } from "./errors.ts";
import type { NodePointer } from "./tree.ts";

export function nodePointerToWire(pointer: NodePointer): WireNodePointer {
  if ("inline" in pointer) return { inline: Buffer.from(pointer.inline).toString("base64") };
  const { prime, offsetBytes, lengthBytes } = pointer.slice;
  return {
    slice: {
      id: prime.id,
      key: Buffer.from(prime.key).toString("base64"),
      primeBytes: prime.lengthBytes,
      offsetBytes,
      lengthBytes,
    },
  };
}

/** Throws `bad-request` for a key of another length or a slice beyond its prime. */
export function nodePointerFromWire(wire: WireNodePointer): NodePointer {
  if ("inline" in wire) return { inline: Buffer.from(wire.inline, "base64") };
  const { id, key, primeBytes, offsetBytes, lengthBytes } = wire.slice;
  const keyBytes = Buffer.from(key, "base64");
  if (keyBytes.length !== 32) throw new CostorError("bad-request", "a node's key has 32 bytes");
  if (offsetBytes + lengthBytes > primeBytes) throw new CostorError("bad-request", "a node lies beyond its prime");
  return {
    slice: { prime: { id: parsePrimeId(id), key: keyBytes, lengthBytes: primeBytes }, offsetBytes, lengthBytes },
  };
}

/** Equal for pointers to the same bytes and for no others; for memos. An inlined node has none: its bytes are its own. */
export function nodePointerKey(pointer: NodePointer): string | undefined {
  if ("inline" in pointer) return undefined;
  const { prime, offsetBytes, lengthBytes } = pointer.slice;
  return `${prime.id}:${offsetBytes}:${lengthBytes}`;
}
