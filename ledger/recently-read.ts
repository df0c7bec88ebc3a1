/**
 * What was read last of one sort: entries, certificates. They come by several ways at about one time (spread, at the end of a run, when
 * ledgers are compared), and reading one costs more than all else that is done with it.
 */
import { hash } from "node:crypto";

interface Read<Value> {
  readonly value: Value;
  readonly lengthBytes: number;
}

export class RecentlyRead<Value> {
  /** By the hash of the bytes, the oldest first. */
  readonly #read = new Map<string, Read<Value>>();
  readonly #mostBytes: number;
  #bytes = 0;

  constructor({ mostBytes }: { readonly mostBytes: number }) {
    this.#mostBytes = mostBytes;
  }

  /** The one of these bytes, or what `read` makes of a copy of them. */
  get(bytes: Uint8Array, read: (bytes: Buffer) => Value): Value {
    const name = hash("sha256", bytes, "base64url");
    const known = this.#read.get(name);
    if (known !== undefined) return known.value;
    // The bytes that came are the caller's, and may be part of a much longer message.
    const value = read(Buffer.from(bytes));
    this.#read.set(name, { value, lengthBytes: bytes.length });
    this.#bytes += bytes.length;
    for (const [oldest, { lengthBytes }] of this.#read) {
      if (this.#bytes <= this.#mostBytes) break;
      this.#read.delete(oldest);
      this.#bytes -= lengthBytes;
    }
    return value;
  }
}
