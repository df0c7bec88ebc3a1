/**
 * The composition root of `costor site recover`: on an empty machine it makes the site's identity anew from the recovery kit, the other sites
 * and their ledger, and then runs the site, to which its primes come back while it serves.
 *
 * Until `site/` exists nothing but the ledger and records of it is in the data directory, so that a stop anywhere is followed by the same
 * command again.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Log } from "#ledger/entry.ts";
import { type MemberAddress, openEpoch } from "#node/federation/epoch-opening.ts";
import { type Recovered, recoverRecords } from "#node/federation/recovered-records.ts";
import { Takeover, takeoverFact } from "#node/federation/takeover.ts";
import type { Transport } from "#node/federation/transport.ts";
import { makeCa } from "#node/site/certificates.ts";
import { placeIdentity } from "#node/site/first-run.ts";
import { siteDirectoryOf } from "#node/site/identity.ts";
import { makeKitCheck } from "#node/site/kit-check.ts";
import { openServedStore } from "#node/site/site-store.ts";
import { systemClock } from "#node/site/system-clock.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { deriveReadKey, deriveRecoveryKey, deriveSiteScopeSecret } from "#protocol/keys.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { interruptionSignal } from "#terminal/interruption.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { formatBytes, formatCountOf } from "#terminal/quantities.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { type GivenKit, readGivenKit } from "./kit-input.ts";
import { createLog } from "./log.ts";
import { type GivenMembers, tellAsked, withMembers } from "./member-addresses.ts";
import { type StartOptions, runSite } from "./running-site.ts";

export interface RecoverOptions extends StartOptions, GivenMembers {
  readonly share?: readonly string[] | true;
  readonly compromised?: boolean;
}

export async function recoverSite(options: RecoverOptions): Promise<void> {
  const dataDirectory = resolve(options.data);
  if (existsSync(siteDirectoryOf(dataDirectory)))
    throw new CostorError(
      "site-exists",
      `${dataDirectory} holds a site already: costor site start --data ${shellWord(options.data)} goes on with it`,
    );
  process.umask(0o077);
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  {
    using kit = await readGivenKit(options);
    await withMembers({ ...options, kit }, (members) => becomeSite(dataDirectory, { kit, members }, options));
  }
  const { kit: _, ...start } = options;
  await runSite(start);
}

interface Becoming {
  readonly kit: GivenKit;
  readonly members: readonly MemberAddress[];
}

async function becomeSite(dataDirectory: string, { kit, members }: Becoming, options: RecoverOptions): Promise<void> {
  const signal = interruptionSignal();
  const log = createLog(options.logLevel);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  await using stack = new AsyncDisposableStack();
  const store = stack.use(
    await openServedStore(dataDirectory, {
      onEvent: ({ event, message }) => log.info({ event }, message),
      onFailure: failed.reject,
    }),
  );
  const recovery = deriveRecoveryKey(kit.kitRoot);
  const peerSeed = randomBytes(32);
  const makeTransport: Parameters<typeof openEpoch>[0]["makeTransport"] = async (doorkeeper): Promise<Transport> => {
    const { Libp2pPeers } = await import("#node/peers/libp2p-peers.ts");
    return stack.use(await Libp2pPeers.create({ log, ...doorkeeper }, { peerSeed, listen: [], mdns: false }));
  };
  process.stderr.write(`Asking ${formatCountOf(members.length, "other site")} …\n`);
  const { log: epoch, ledger } = await openEpoch(
    { store, clock: systemClock, makeTransport, onAsked: tellAsked },
    { recovery, peerSeed, members, federationId: kit.federation?.federationId, signal },
  );
  passFailpoint("recover.known");
  const { siteId } = epoch.certificate;
  // Also where the command was given so before, and stopped.
  const isTakenOver = options.compromised === true || (await Takeover.open(store)).isOpen;
  if (isTakenOver) await store.appendFacts([takeoverFact]);
  const recovered = await recoverRecords(
    { store, ledger, now: Date.now },
    { siteId, kitRoot: kit.kitRoot, isTakenOver },
  );
  passFailpoint("recover.records-here");
  await place(dataDirectory, { kit, recovered, epoch, peerSeed, name: options.name, isTakenOver });
  const toTell = { epoch: epoch.certificate.epoch, freeBytes: await freeBytesOf(store), isTakenOver };
  tell(recovered, toTell, options.json === true);
}

interface Placed {
  readonly kit: GivenKit;
  readonly recovered: Recovered;
  readonly epoch: Log;
  readonly peerSeed: Uint8Array;
  readonly name: string | undefined;
  readonly isTakenOver: boolean;
}

async function place(dataDirectory: string, placed: Placed): Promise<void> {
  const { kit, recovered, epoch, peerSeed, name, isTakenOver } = placed;
  const { kitRoot } = kit;
  const { siteId } = epoch.certificate;
  const read = deriveReadKey(kitRoot, recovered.readGeneration);
  const nowMs = Date.now();
  const { identityState: state } = recovered;
  // Whoever had the machine has the key of its authority.
  const authority = isTakenOver ? undefined : state;
  const ca = authority ? undefined : await makeCa(`CoStor site ${siteId.slice(0, 16)}`, nowMs);
  const recovery = deriveRecoveryKey(kitRoot);
  await placeIdentity(dataDirectory, {
    identity: {
      siteName: state?.siteName ?? name ?? kit.siteName ?? hostname(),
      ...{ siteId, recoveryPublicKey: recovery.publicKey, epochCertificate: epoch.bytes },
      caCertificate: authority?.caCertificate ?? ca!.certificate,
      madeMs: state?.madeMs ?? nowMs,
    },
    secrets: {
      ...{ readPrivateKey: read.privateKey, readGeneration: read.generation, peerSeed },
      ...(recovered.formerReadKeys.length > 0 ? { formerReadKeys: recovered.formerReadKeys } : {}),
      scopeSecret: recovered.scopeSecret ?? deriveSiteScopeSecret(kitRoot),
      caKey: authority?.caKey ?? ca!.key,
    },
    // Whoever recovers a site has its kit at hand.
    kitCheck: { ...(await makeKitCheck(wordsOfKitRoot(kitRoot))), confirmedMs: nowMs },
  });
  recovery.seed.fill(0);
}

const freeBytesOf = async (store: { stats(): Promise<{ readonly freeBytes: number }> }): Promise<number> =>
  (await store.stats()).freeBytes;

interface ToTell {
  readonly epoch: number;
  readonly freeBytes: number;
  readonly isTakenOver: boolean;
}

function tell(recovered: Recovered, { epoch, freeBytes, isTakenOver }: ToTell, json: boolean): void {
  const { agentsCount, snapshotsCount, primesBytes, brokenCount, identityState } = recovered;
  const hasAuthority = identityState !== undefined && !isTakenOver;
  if (json)
    return printJson({
      ...{ recovered: true, epoch, agentsCount, snapshotsCount, primesBytes, brokenCount, hasAuthority, isTakenOver },
    });
  if (isTakenOver) {
    printLine(
      "This machine is the site now. What the others still keep of it comes back while it runs, whatever was deleted since; until then it sends them nothing.",
    );
    printLine("All its machines have to be enrolled again: costor site enrol-token --replace keeps their snapshots.");
  } else
    printLine(
      `This machine is the site now: ${formatCountOf(agentsCount, "machine")} and ${formatCountOf(snapshotsCount, "snapshot")} are known, ${formatBytes(primesBytes)} come back while it runs.`,
    );
  if (freeBytes < primesBytes)
    printLine(
      `Attention: only ${formatBytes(freeBytes)} are free here. What does not fit stays at the other sites; give it a larger disk.`,
    );
  if (brokenCount > 0) printLine(`${formatCountOf(brokenCount, "record")} could not be opened with this kit.`);
  if (!hasAuthority && !isTakenOver)
    printLine("The site's certificate authority is not in the ledger: its machines have to be enrolled again.");
}
