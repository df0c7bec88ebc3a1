import { randomBytes } from "node:crypto";
import type { ByteString } from "#protocol/byte-string.ts";
import type { Directory } from "./directory.ts";
import { isOsError } from "./os-error.ts";

const PREFIX = ".costor-restore-";
const run = randomBytes(8).toString("hex");
let count = 0;

/** A name for an object that is not finished yet, in the directory where it will be. */
export const temporaryName = (): ByteString => `${PREFIX}${run}-${(count++).toString(36)}` as ByteString;

/** Whether a name is one of these. */
export const isTemporaryName = (name: ByteString): boolean => /^\.costor-restore-[0-9a-f]{16}-[0-9a-z]+$/.test(name);

/** Removes what a restore that was killed has left in a directory; what cannot be removed stays. */
export function removeLeftovers(directory: Directory): void {
  for (const name of directory.names()) {
    if (!isTemporaryName(name)) continue;
    try {
      directory.removeFile(name);
    } catch (error) {
      if (!isOsError(error)) throw error;
    }
  }
}
