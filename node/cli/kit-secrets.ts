/** What commands do with a kit or a share: see whose it is, and write it for its owner only. */
import { dirname, resolve } from "node:path";
import { createDurably, syncDirectory } from "#node/site/durable-file.ts";
import { hasErrorCode } from "#node/store/disk.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { deriveRecoveryKey, fingerprintOf } from "#protocol/keys.ts";
import type { GivenKit } from "./kit-input.ts";
import { callOn } from "./site-access.ts";

/** For its owner only, and nothing is overwritten. Throws `kit-file-exists`. */
export async function writeSecret(path: string, text: string): Promise<void> {
  try {
    await createDurably(path, text);
    await syncDirectory(dirname(resolve(path)));
  } catch (cause) {
    if (!hasErrorCode(cause, "EEXIST")) throw cause;
    throw new CostorError("kit-file-exists", `${path} exists and is not overwritten`, { cause });
  }
}

/** Throws `kit-of-another-site`. */
export function requireKitOf(fingerprint: string, { kitRoot }: GivenKit): void {
  const given = fingerprintOf(deriveRecoveryKey(kitRoot).publicKey);
  if (given === fingerprint) return;
  throw new CostorError("kit-of-another-site", `this kit's fingerprint is ${given}, and the site's is ${fingerprint}`);
}

/** The same, or the kit that the site in `data` has asked for: which of the two. */
export async function requireKitOrAskedFor(
  data: string,
  fingerprint: string,
  given: GivenKit,
): Promise<"kit" | "asked-for"> {
  const asked = await askedFor(data);
  if (asked !== undefined && fingerprintOf(deriveRecoveryKey(given.kitRoot).publicKey) === asked) return "asked-for";
  requireKitOf(fingerprint, given);
  return "kit";
}

/** The fingerprint of the kit that the site asks the other members for. */
async function askedFor(data: string): Promise<string | undefined> {
  try {
    const { kits } = await callOn(data, "federationKits", {});
    return kits.find(({ isThisSite }) => isThisSite)?.fingerprint;
  } catch (error) {
    if (isCostorError(error, "site-unreachable") || isCostorError(error, "not-in-federation")) return undefined;
    throw error;
  }
}
