/** Chance that grows from a seed: the same draws each time. */
import { createHash } from "node:crypto";
import type { Rng } from "#ledger/rng.ts";

export function seededRng(seed: string | number): Rng {
  let counter = 0;
  let pool = Buffer.alloc(0);
  const bytes = (count: number): Buffer => {
    while (pool.length < count)
      pool = Buffer.concat([pool, createHash("sha512").update(`${seed} ${counter++}`).digest()]);
    const taken = pool.subarray(0, count);
    pool = pool.subarray(count);
    return taken;
  };
  return { bytes, fraction: () => bytes(6).readUIntBE(0, 6) / 2 ** 48 };
}
