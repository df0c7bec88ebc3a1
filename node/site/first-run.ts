/**
 * The first run of a site: makes its keys and its recovery kit.
 *
 * The caller has opened the store, so it holds the lock, and no other process does the same. All files are written to
 * `<data>/site.new`, made durable, and the kit is handed over; the rename to `<data>/site` is what makes the site exist.
 * - A crash before the rename leaves `site.new`. It is thrown away, unless the kit file that was asked for is that of
 *   `site.new`: then only the rename was missing, and it is done.
 * - The kit is handed over before the rename, so no site exists whose kit was never seen.
 * - A store that knows agents or a federation without an identity beside it is damage, and never gets a new identity.
 * The kit root lives in this process for the time of the call, and in no file but the kit's.
 */
import { randomBytes } from "node:crypto";
import { access, mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { isNoSpace } from "#node/store/disk.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { deriveReadKey, deriveRecoveryKey, deriveSiteScopeSecret, kitRootBytes, siteIdOf } from "#protocol/keys.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
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
import { finishReplacement, newDirectoryOf } from "./replaced-directory.ts";
import { type KitCheck, encodeKitCheck, kitCheckPathOf, makeKitCheck, readKitCheck } from "./kit-check.ts";

export interface FirstRunInit {
  readonly siteName: string;
  /** Where the recovery kit is written; without it the kit is shown. */
  readonly kitFile?: string;
  /** Shows the kit's text to the person who starts the site. */
  showKit(text: string): void;
  readonly nowMs: number;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** The site's identity exists when this returns. Throws `identity-damaged`, `kit-file-exists`, `store-full`. */
export async function ensureIdentity(
  dataDirectory: string,
  store: Pick<PrimeStore, "facts">,
  init: FirstRunInit,
): Promise<void> {
  try {
    await findOrMakeIdentity(dataDirectory, store, init);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    throw new CostorError("store-full", "the disk has no room for the keys of a new site", { cause: error });
  }
}

async function findOrMakeIdentity(
  dataDirectory: string,
  store: Pick<PrimeStore, "facts">,
  init: FirstRunInit,
): Promise<void> {
  const siteDirectory = siteDirectoryOf(dataDirectory);
  const newDirectory = newDirectoryOf(dataDirectory);
  await finishReplacement(dataDirectory);
  if (await exists(siteDirectory)) return rm(newDirectory, { recursive: true, force: true });
  await refuseKnownSite(siteDirectory, store);
  if (!(await isKitOf(newDirectory, init.kitFile))) {
    await rm(newDirectory, { recursive: true, force: true });
    await makeIdentity(newDirectory, init);
  }
  await rename(newDirectory, siteDirectory);
  passFailpoint("start.identity-placed");
  await syncDirectory(dataDirectory);
}

async function refuseKnownSite(siteDirectory: string, store: Pick<PrimeStore, "facts">): Promise<void> {
  for (const [kind, what] of [
    ["agent", "agents"],
    ["ledger", "a federation"],
  ] as const)
    for await (const _ of store.facts(kind))
      throw new CostorError(
        "identity-damaged",
        `${siteDirectory} is missing, though the store beside it knows ${what}`,
        {
          details: { path: siteDirectory },
        },
      );
}

/** Whether a crash came between the kit file and the rename. Throws `kit-file-exists` for a file that is another's. */
async function isKitOf(newDirectory: string, kitFile: string | undefined): Promise<boolean> {
  if (kitFile === undefined || !(await exists(kitFile))) return false;
  const text = (await stat(kitFile)).isFile() ? await readFile(kitFile, "utf8") : "no file";
  if (text === "") {
    // What a power cut leaves of a file that was just made; nothing is lost with it.
    await rm(kitFile);
    return false;
  }
  const made = await Promise.all([
    readIdentity(newDirectory),
    readSecrets(newDirectory),
    readKitCheck(newDirectory),
  ]).catch(() => undefined);
  if (made && text.includes(made[0].siteId)) return true;
  throw new CostorError("kit-file-exists", `${kitFile} exists and is not overwritten`, { details: { path: kitFile } });
}

async function makeIdentity(newDirectory: string, init: FirstRunInit): Promise<void> {
  const { formatKit } = await import("#protocol/kit.ts");
  const { wordsOfKitRoot } = await import("#protocol/kit-words.ts");
  const kitRoot = randomBytes(kitRootBytes);
  try {
    const { identity, secrets } = await makeKeys(kitRoot, init);
    await writeFiles(newDirectory, { identity, secrets, kitCheck: await makeKitCheck(wordsOfKitRoot(kitRoot)) });
    passFailpoint("start.identity-written");
    await handOver(formatKit({ siteName: init.siteName, siteId: identity.siteId, kitRoot }), init);
    passFailpoint("start.kit-written");
  } finally {
    kitRoot.fill(0);
  }
}

interface SiteFiles {
  readonly identity: SiteIdentity;
  readonly secrets: SiteSecrets;
  readonly kitCheck: KitCheck;
}

async function writeFiles(newDirectory: string, { identity, secrets, kitCheck }: SiteFiles): Promise<void> {
  await mkdir(newDirectory, { mode: 0o700 });
  await createDurably(identityPathOf(newDirectory), encodeIdentity(identity));
  await createDurably(secretsPathOf(newDirectory), encodeSecrets(secrets));
  await createDurably(kitCheckPathOf(newDirectory), encodeKitCheck(kitCheck));
  await syncDirectory(newDirectory);
}

/** The identity of a site that another machine had before; the site exists when this returns, and not before. */
export async function placeIdentity(dataDirectory: string, files: SiteFiles): Promise<void> {
  const newDirectory = newDirectoryOf(dataDirectory);
  await rm(newDirectory, { recursive: true, force: true });
  await writeFiles(newDirectory, files);
  passFailpoint("recover.identity-written");
  await rename(newDirectory, siteDirectoryOf(dataDirectory));
  await syncDirectory(dataDirectory);
  passFailpoint("recover.identity-placed");
}

async function handOver(kit: string, { kitFile, showKit }: FirstRunInit): Promise<void> {
  if (kitFile === undefined) return showKit(kit);
  await createDurably(kitFile, kit);
  await syncDirectory(dirname(kitFile));
}

async function makeKeys(
  kitRoot: Uint8Array,
  { siteName, nowMs }: FirstRunInit,
): Promise<{ identity: SiteIdentity; secrets: SiteSecrets }> {
  const { makeCa } = await import("./certificates.ts");
  const recovery = deriveRecoveryKey(kitRoot);
  const read = deriveReadKey(kitRoot, 1);
  const siteId = siteIdOf(recovery.publicKey);
  const peerSeed = randomBytes(32);
  const epochCertificate = signEpochCertificate(
    { siteId, peerPublicKey: publicKeyOf("ed25519", peerSeed), epoch: 1, previousHead: null },
    recovery.seed,
  );
  const ca = await makeCa(`CoStor site ${siteId.slice(0, 16)}`, nowMs);
  recovery.seed.fill(0);
  return {
    identity: {
      siteName,
      siteId,
      recoveryPublicKey: recovery.publicKey,
      epochCertificate,
      caCertificate: ca.certificate,
      madeMs: nowMs,
    },
    secrets: {
      readPrivateKey: read.privateKey,
      readGeneration: read.generation,
      scopeSecret: deriveSiteScopeSecret(kitRoot),
      peerSeed,
      caKey: ca.key,
    },
  };
}
