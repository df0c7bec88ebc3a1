/** The composition root of `costor site adopt`: opens a new epoch on a machine that has the site already. docs/specs/membership.md */
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { Ledger } from "#ledger/ledger.ts";
import { Membership } from "#ledger/membership.ts";
import { type MemberAddress, openEpoch } from "#node/federation/epoch-opening.ts";
import type { Transport } from "#node/federation/transport.ts";
import { adoptMachine } from "#node/site/adopted-machine.ts";
import { finishReplacement } from "#node/site/replaced-directory.ts";
import { readIdentity, siteDirectoryOf } from "#node/site/identity.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { openSiteStore } from "#node/site/site-store.ts";
import { systemClock } from "#node/site/system-clock.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { deriveRecoveryKey, fingerprintOf } from "#protocol/keys.ts";
import { interruptionSignal } from "#terminal/interruption.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { type KitOptions, readGivenKit } from "./kit-input.ts";
import { createLog } from "./log.ts";
import { type GivenMembers, tellAsked, withMembers } from "./member-addresses.ts";

export interface AdoptOptions extends KitOptions, GivenMembers {
  readonly data: string;
  readonly logLevel: string;
  readonly json?: true;
}

export async function adoptSite(options: AdoptOptions): Promise<void> {
  const dataDirectory = resolve(options.data);
  const signal = interruptionSignal();
  process.umask(0o077);
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openSiteStore(dataDirectory));
  await finishReplacement(dataDirectory);
  const { siteId, siteName, recoveryPublicKey } = await readIdentity(siteDirectoryOf(dataDirectory));
  using kit = await readGivenKit(options);
  const recovery = deriveRecoveryKey(kit.kitRoot);
  // Before other sites hear of a new epoch: what this disk reads and seals by is of its own kit.
  if (!recovery.publicKey.equals(recoveryPublicKey))
    throw new CostorError(
      "kit-of-another-site",
      `this kit's fingerprint is ${fingerprintOf(recovery.publicKey)}, and ${siteName} was on this disk with ${fingerprintOf(recoveryPublicKey)}: adopt it with that kit; if this kit replaced it since, the site comes back in an empty directory, by costor site recover with this kit`,
    );
  const peerSeed = randomBytes(32);
  const log = createLog(options.logLevel);
  const makeTransport = async (
    doorkeeper: Parameters<Parameters<typeof openEpoch>[0]["makeTransport"]>[0],
  ): Promise<Transport> => {
    const { Libp2pPeers } = await import("#node/peers/libp2p-peers.ts");
    return stack.use(await Libp2pPeers.create({ log, ...doorkeeper }, { peerSeed, listen: [], mdns: false }));
  };
  const wanted = { ...options, kit, known: await knownMembers(store, siteId) };
  const { log: epoch } = await withMembers(wanted, (members) =>
    openEpoch(
      { store, clock: systemClock, makeTransport, onAsked: tellAsked },
      { recovery, peerSeed, members, federationId: kit.federation?.federationId, signal },
    ),
  );
  if (epoch.certificate.siteId !== siteId)
    throw new CostorError("kit-of-another-site", `this kit is not that of ${siteName}`);
  await adoptMachine(dataDirectory, { epochCertificate: epoch.bytes, peerSeed });
  recovery.seed.fill(0);
  if (options.json) return printJson({ adopted: true, epoch: epoch.certificate.epoch });
  printLine(
    `This machine is ${siteName} now, whatever other machine was. Next: costor site start --data ${shellWord(options.data)}`,
  );
}

/** As its own ledger has them. */
async function knownMembers(store: PrimeStore, siteId: SiteId): Promise<MemberAddress[]> {
  const ledgerStore = new LedgerFacts({ store });
  const membership = await Membership.open({ store: ledgerStore }, { siteId });
  const ledger = await Ledger.open({ store: ledgerStore, speakers: membership });
  if (membership.roster === undefined)
    throw new CostorError("not-in-federation", "this site is in no federation: no other machine can act as it");
  return membership.sites().flatMap((site) => {
    const peer = site === siteId ? undefined : membership.peerOf(site);
    const addresses = ledger.statement(site, "profile", "")?.statement.addresses ?? [];
    return peer === undefined || addresses.length === 0 ? [] : [{ peer, addresses }];
  });
}
