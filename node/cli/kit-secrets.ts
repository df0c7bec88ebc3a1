/** What commands do with a kit or a share: see whose it is, and write it for its owner only. */
import { dirname, resolve } from "node:path";
import { createDurably, syncDirectory } from "#node/site/durable-file.ts";
import { CostorError } from "#protocol/errors.ts";
import { deriveRecoveryKey, fingerprintOf } from "#protocol/keys.ts";
import type { GivenKit } from "./kit-input.ts";

/** For its owner only, and nothing is overwritten. Throws `kit-file-exists`. */
export async function writeSecret(path: string, text: string): Promise<void> {
  try {
    await createDurably(path, text);
    await syncDirectory(dirname(resolve(path)));
  } catch (cause) {
    if (!isNodeError(cause) || cause.code !== "EEXIST") throw cause;
    throw new CostorError("kit-file-exists", `${path} exists and is not overwritten`, { cause });
  }
}

const isNodeError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && "code" in error;

/** Throws `kit-of-another-site`. */
export function requireKitOf(fingerprint: string, { kitRoot }: GivenKit): void {
  const given = fingerprintOf(deriveRecoveryKey(kitRoot).publicKey);
  if (given === fingerprint) return;
  throw new CostorError("kit-of-another-site", `this kit's fingerprint is ${given}, and the site's is ${fingerprint}`);
}
