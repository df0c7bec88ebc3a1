/** The system's chance: the site's {@link Rng}. */
import { randomBytes } from "node:crypto";
import type { Rng } from "#ledger/rng.ts";

export const systemRng: Rng = {
  bytes: (count) => randomBytes(count),
  fraction: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
};
