/**
 * A site whose store was lost, while its identity is there: before it serves anybody it finds its federation again, and takes over what the ledger
 * has of it. It waits as long as that takes; an empty site in its place would turn its machines away. Primes come back while it runs.
 */
import type { Logger } from "pino";
import { openLog } from "#ledger/entry.ts";
import { Membership } from "#ledger/membership.ts";
import { type EpochComponents, reopenEpoch } from "#node/federation/epoch-opening.ts";
import { type RegainedRecords, regainRecords } from "#node/federation/recovered-records.ts";
import {
  type SiteIdentity,
  type SiteSecrets,
  readIdentity,
  readSecrets,
  siteDirectoryOf,
} from "#node/site/identity.ts";
import { takeoverFact } from "#node/federation/takeover.ts";
import { hasTakeoverMark } from "#node/site/takeover-mark.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { readKeysOf } from "#node/site/root-sealer.ts";
import { systemClock } from "#node/site/system-clock.ts";
import { type WayBack, readWayBack } from "#node/site/way-back.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";

export interface LostStoreInit {
  readonly store: PrimeStore;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const ASK_AGAIN_MS = 20_000;
/** There while what was begun is not done. */
const MARK = { kind: "federation", key: "store-lost" } as const;

/** At once for a store that is as it was. Throws `peer-refused`, `site-superseded`, `identity-damaged`, what the store throws, and the signal's reason. */
export async function findLostStore(dataDirectory: string, init: LostStoreInit): Promise<void> {
  const { store, log, signal } = init;
  const siteDirectory = siteDirectoryOf(dataDirectory);
  const identity = await readIdentity(siteDirectory);
  const { roster } = await Membership.open({ store: new LedgerFacts({ store }) }, identity);
  if (roster !== undefined && (await store.fact(MARK.kind, MARK.key)) === undefined) return;
  const way = await readWayBack(dataDirectory);
  if (way === undefined || way.members.length === 0) return;
  log.warn({ sites: way.members.length }, "the store knows no federation any more; the other sites are asked");
  const isTakenOver = hasTakeoverMark(siteDirectory);
  await store.appendFacts([{ ...MARK, value: new Uint8Array() }, ...(isTakenOver ? [takeoverFact] : [])]);
  const secrets = await readSecrets(siteDirectory);
  for (;;) {
    try {
      const { agentsCount, snapshotsCount, primesBytes } = await findAgain(
        way,
        { identity, secrets, isTakenOver },
        init,
      );
      passFailpoint("lost-store.records-here");
      await store.appendFacts([{ ...MARK, value: undefined }]);
      log.warn(
        { agentsCount, snapshotsCount, primesBytes },
        "the site is in its federation again; its data comes back",
      );
      return;
    } catch (error) {
      if (!isCostorError(error, "peer-unreachable")) throw error;
      log.error({ err: error }, "the store is lost, and no other site is reached; the site waits");
      await systemClock.sleep(ASK_AGAIN_MS, signal);
    }
  }
}

async function findAgain(
  { federationId, members }: WayBack,
  {
    identity,
    secrets,
    isTakenOver,
  }: { readonly identity: SiteIdentity; readonly secrets: SiteSecrets; readonly isTakenOver: boolean },
  { store, log, signal }: LostStoreInit,
): Promise<RegainedRecords> {
  await using stack = new AsyncDisposableStack();
  const makeTransport: EpochComponents["makeTransport"] = async (doorkeeper) => {
    const { Libp2pPeers } = await import("#node/peers/libp2p-peers.ts");
    const { peerSeed } = secrets;
    return stack.use(await Libp2pPeers.create({ log, ...doorkeeper }, { peerSeed, listen: [], mdns: false }));
  };
  const onAsked: EpochComponents["onAsked"] = ({ addresses }, error) =>
    log.info({ err: error, addresses }, error === undefined ? "a site knows this one" : "a site does not help");
  const ledger = await reopenEpoch(
    { store, clock: systemClock, makeTransport, onAsked },
    { log: openLog(identity.epochCertificate), federationId, members, signal },
  );
  passFailpoint("lost-store.known");
  return regainRecords(
    { store, ledger, now: Date.now },
    { siteId: identity.siteId, readKeys: readKeysOf(secrets), isTakenOver },
  );
}
