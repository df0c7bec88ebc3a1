/**
 * Gives a site that does not run a machine's identity of a new epoch: another PeerId key and its certificate, all else as it was. The files
 * change places at once, so that the machine is the former one or the new one, whole.
 */
import { mkdir, rm } from "node:fs/promises";
import { openLog } from "#ledger/entry.ts";
import { assertInvariant } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { createDurably, syncDirectory } from "./durable-file.ts";
import {
  encodeIdentity,
  encodeSecrets,
  identityPathOf,
  readIdentity,
  readSecrets,
  secretsPathOf,
  siteDirectoryOf,
} from "./identity.ts";
import { encodeFormerKeys, formerKeysPathOf, sealFormerKeys } from "./former-keys.ts";
import { encodeKitCheck, kitCheckPathOf, readKitCheck } from "./kit-check.ts";
import { newDirectoryOf, replaceDirectory } from "./replaced-directory.ts";

export interface AdoptedMachine {
  /** Signed by the recovery key that the site has here: its read keys are of the same kit. */
  readonly epochCertificate: Uint8Array;
  readonly peerSeed: Uint8Array;
}

/** Throws `identity-damaged`. */
export async function adoptMachine(dataDirectory: string, machine: AdoptedMachine): Promise<void> {
  const siteDirectory = siteDirectoryOf(dataDirectory);
  const newDirectory = newDirectoryOf(dataDirectory);
  const { epochCertificate, peerSeed } = machine;
  const identity = { ...(await readIdentity(siteDirectory)), epochCertificate };
  const { recoveryKey } = openLog(epochCertificate).certificate;
  assertInvariant(
    Buffer.compare(recoveryKey, identity.recoveryPublicKey) === 0,
    "the certificate is of the site's kit",
  );
  const secrets = { ...(await readSecrets(siteDirectory)), peerSeed };
  await rm(newDirectory, { recursive: true, force: true });
  await mkdir(newDirectory, { mode: 0o700 });
  await createDurably(identityPathOf(newDirectory), encodeIdentity(identity));
  await createDurably(secretsPathOf(newDirectory), encodeSecrets(secrets));
  await createDurably(kitCheckPathOf(newDirectory), encodeKitCheck(await readKitCheck(siteDirectory)));
  if (secrets.formerReadKeys !== undefined)
    await createDurably(formerKeysPathOf(newDirectory), encodeFormerKeys(await sealFormerKeys(identity, secrets)));
  await syncDirectory(newDirectory);
  passFailpoint("recover.identity-written");
  await replaceDirectory(dataDirectory);
  passFailpoint("recover.identity-placed");
}
