/** The keys of a recovery kit that read. */
import { deriveReadKey } from "#protocol/keys.ts";

/** More generations than a site has ever had: a new one comes when a thief may have the last. */
const GENERATIONS_COUNT = 16;

/** Private keys, of all generations that there may be: what is sealed does not say to which. */
export const readKeysOf = (kitRoot: Uint8Array): Buffer[] =>
  Array.from({ length: GENERATIONS_COUNT }, (_, at) => deriveReadKey(kitRoot, at + 1).privateKey);
