/** A salted scrypt hash of words that a person has noted: it tells them again, and gives none away. */
import { scrypt } from "node:crypto";

const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };

/** 32 bytes. Case does not matter. */
export function hashWords(words: readonly string[], salt: Uint8Array): Promise<Buffer> {
  const text = words.map((word) => word.trim().toLowerCase()).join(" ");
  return new Promise((resolve, reject) =>
    scrypt(text, salt, 32, COST, (error, hash) => (error ? reject(error) : resolve(hash))),
  );
}
