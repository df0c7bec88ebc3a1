/** The keys of a recovery kit that read. */
import { deriveReadKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";

/** Private keys, from the first generation on; of all that there may be, unless it is said: what is sealed does not say to which. */
export const readKeysOf = (kitRoot: Uint8Array, generationsCount: number = limits.readGenerationsCount): Buffer[] =>
  Array.from({ length: generationsCount }, (_, at) => deriveReadKey(kitRoot, at + 1).privateKey);
