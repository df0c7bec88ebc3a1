import { randomBytes } from "node:crypto";
import type { ByteString } from "#protocol/byte-string.ts";

const PREFIX = ".costor-restore-";
const run = randomBytes(8).toString("hex");
let count = 0;

/** A name for an object that is not finished yet, in the directory where it will be. */
export const temporaryName = (): ByteString => `${PREFIX}${run}-${(count++).toString(36)}` as ByteString;

/** Whether a name is one of these, so that a restore can remove what a killed one left. */
export const isTemporaryName = (name: ByteString): boolean => /^\.costor-restore-[0-9a-f]{16}-[0-9a-z]+$/.test(name);
