/**
 * Replaces the recovery kit of a site that does not run: a new root, and from it a new recovery key that the former one signs, and a
 * new read key. docs/specs/keys.md, "Replacing a recovery key". Or makes one ready for a site whose former kit is lost, until the members have agreed
 * (requested-kit.ts).
 *
 * All files of the site are written anew to `<data>/site.new`, the kit is handed over, and then the directories change places, so that the site
 * has the former kit or the new one, whole. A crash between the two renames leaves no `<data>/site`; the next start ends it.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { openLog } from "#ledger/entry.ts";
import { readKeptLedger } from "#ledger/kept-ledger.ts";
import type { LedgerStore } from "#ledger/ledger-store.ts";
import { RecoveryKeys } from "#ledger/recovery-keys.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { CostorError, assertInvariant } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { LogId } from "#protocol/ids.ts";
import { type RecoveryKey, deriveReadKey, deriveRecoveryKey, fingerprintOf, kitRootBytes } from "#protocol/keys.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { type RecoveryKit, formatKit } from "#protocol/kit.ts";
import { limits } from "#protocol/limits.ts";
import { type RecoveryLinkFields, majorityLink, signRecoveryLink } from "#protocol/recovery-chain.ts";
import { createDurably, syncDirectory } from "./durable-file.ts";
import {
  type SiteIdentity,
  type SiteSecrets,
  encodeIdentity,
  encodeSecrets,
  identityPathOf,
  readIdentity,
  readSecrets,
  secretsPathOf,
  siteDirectoryOf,
} from "./identity.ts";
import { encodeFormerKeys, formerKeysPathOf, sealFormerKeys } from "./former-keys.ts";
import { newDirectoryOf, replaceDirectory } from "./replaced-directory.ts";
import { encodeKitCheck, kitCheckPathOf, makeKitCheck } from "./kit-check.ts";

export interface ReplacementComponents {
  /** What the site knows of its own logs. */
  readonly ledgerStore: LedgerStore;
}

export interface HandingOver {
  /** Hands the new kit's text to a person, durably. Throws what stops it all. */
  handOver(kit: string): Promise<void>;
}

export interface ReplacementInit extends HandingOver {
  readonly formerRoot: Uint8Array;
}

/** Throws `kit-of-another-site`, `limit-exceeded`, `identity-damaged`, and what `handOver` throws. */
export async function replaceKit(
  dataDirectory: string,
  { ledgerStore }: ReplacementComponents,
  { formerRoot, handOver }: ReplacementInit,
): Promise<SiteIdentity> {
  const siteDirectory = siteDirectoryOf(dataDirectory);
  const [identity, secrets] = [await readIdentity(siteDirectory), await readSecrets(siteDirectory)];
  const former = deriveRecoveryKey(formerRoot);
  if (!former.publicKey.equals(identity.recoveryPublicKey))
    throw new CostorError(
      "kit-of-another-site",
      `this kit's fingerprint is ${fingerprintOf(former.publicKey)}, and the site's is ${fingerprintOf(identity.recoveryPublicKey)}`,
    );
  const logs = await logsOfKey(identity, ledgerStore);
  try {
    const linkTo = (fields: RecoveryLinkFields): Buffer => signRecoveryLink(fields, former.seed);
    const next = await makeFiles(newDirectoryOf(dataDirectory), { identity, secrets, logs, linkTo, handOver });
    await replaceDirectory(dataDirectory);
    return next;
  } finally {
    former.seed.fill(0);
  }
}

/**
 * All files of the site as they will be when members have agreed on a new key, in `directory`. `logs` are those of {@link logsOfKey}. Throws
 * `limit-exceeded`, `identity-damaged`, and what `handOver` throws.
 */
export async function makeReady(
  directory: string,
  dataDirectory: string,
  { logs, handOver }: HandingOver & { readonly logs: readonly LogId[] },
): Promise<SiteIdentity> {
  const siteDirectory = siteDirectoryOf(dataDirectory);
  const [identity, secrets] = [await readIdentity(siteDirectory), await readSecrets(siteDirectory)];
  return makeFiles(directory, { identity, secrets, logs, linkTo: majorityLink, handOver });
}

interface NextInit extends HandingOver {
  readonly identity: SiteIdentity;
  readonly secrets: SiteSecrets;
  readonly logs: readonly LogId[];
  readonly linkTo: (fields: RecoveryLinkFields) => Buffer;
}

async function makeFiles(
  directory: string,
  { identity, secrets, logs, linkTo, handOver }: NextInit,
): Promise<SiteIdentity> {
  const kitRoot = randomBytes(kitRootBytes);
  const recovery = deriveRecoveryKey(kitRoot);
  try {
    const next = withNewKey(identity, { recovery, logs, linkTo });
    await writeFiles(directory, next, withNewReadKey(secrets, kitRoot), kitRoot);
    passFailpoint("replace.written");
    const { siteName, siteId } = identity;
    await handOver(formatKit({ siteName, siteId, kitRoot } satisfies RecoveryKit));
    passFailpoint("replace.kit-written");
    return next;
  } finally {
    for (const secret of [kitRoot, recovery.seed]) secret.fill(0);
  }
}

/** Those that the site's key of now has opened, or signed anew; a thief who has the kit may have opened others that are not known here. */
export async function logsOfKey(
  { siteId, epochCertificate }: Pick<SiteIdentity, "siteId" | "epochCertificate">,
  store: LedgerStore,
): Promise<LogId[]> {
  const own = openLog(epochCertificate);
  const { logs, chains } = await readKeptLedger(store);
  const keys = new RecoveryKeys({ agreedLinks: () => chains.get(siteId) ?? [] });
  keys.restore(chains);
  const count = own.certificate.chain.length;
  const ofKey = logs.filter(
    (log) => log.certificate.siteId === siteId && log.certificate.chain.length === count && keys.counts(log),
  );
  const newest = ofKey.toSorted((one, other) => other.certificate.epoch - one.certificate.epoch);
  if (newest.some((log) => log.certificate.epoch > own.certificate.epoch))
    throw new CostorError(
      "ledger-refused",
      "another machine has opened a newer epoch of this site; find out which one is right first",
    );
  const ids = [own.id, ...newest.map(({ id }) => id).filter((id) => id !== own.id)];
  return ids.slice(0, limits.recoveryLinkLogsCount).toSorted();
}

/** The same log, opened by the new key. */
function withNewKey(
  identity: SiteIdentity,
  { recovery, logs, linkTo }: Pick<NextInit, "logs" | "linkTo"> & { recovery: RecoveryKey },
): SiteIdentity {
  const { id, certificate } = openLog(identity.epochCertificate);
  const { siteId, chain } = certificate;
  const link = linkTo({ siteId, number: chain.length + 2, key: recovery.publicKey, logs });
  const epochCertificate = signEpochCertificate(certificate, recovery.seed, [...chain.map(({ bytes }) => bytes), link]);
  assertInvariant(openLog(epochCertificate).id === id, "another key signs the same log", { id });
  return { ...identity, recoveryPublicKey: recovery.publicKey, epochCertificate };
}

function withNewReadKey(secrets: SiteSecrets, kitRoot: Uint8Array): SiteSecrets {
  const { readPrivateKey, readGeneration, formerReadKeys = [] } = secrets;
  const read = deriveReadKey(kitRoot, readGeneration + 1);
  return {
    ...secrets,
    readPrivateKey: read.privateKey,
    readGeneration: read.generation,
    formerReadKeys: [{ generation: readGeneration, privateKey: readPrivateKey }, ...formerReadKeys],
  };
}

async function writeFiles(
  directory: string,
  identity: SiteIdentity,
  secrets: SiteSecrets,
  kitRoot: Uint8Array,
): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { mode: 0o700 });
  await createDurably(identityPathOf(directory), encodeIdentity(identity));
  await createDurably(secretsPathOf(directory), encodeSecrets(secrets));
  await createDurably(formerKeysPathOf(directory), encodeFormerKeys(await sealFormerKeys(identity, secrets)));
  await createDurably(kitCheckPathOf(directory), encodeKitCheck(await makeKitCheck(wordsOfKitRoot(kitRoot))));
  await syncDirectory(directory);
}
