/**
 * A site as the ledger knows it, on a machine that has nothing yet: opened with the recovery kit, and kept as facts in an empty store. Safe to
 * repeat after a stop anywhere. docs/specs/ledger.md, Sealed
 */
import type { Ledger } from "#ledger/ledger.ts";
import { AgentRegistry, revokedAgent } from "#node/site/agent-registry.ts";
import { type FormerKeys, parseFormerKeys } from "#node/site/former-keys.ts";
import { type FormerReadKey, type IdentityState, parseIdentityState } from "#node/site/identity.ts";
import { ReceivedClock } from "#node/site/received-clock.ts";
import { regainRecord } from "#node/site/regained-records.ts";
import { RegainedSnapshots } from "#node/site/regained-snapshots.ts";
import { SiteChanges } from "#node/site/site-changes.ts";
import { SitePrimes } from "#node/site/site-primes.ts";
import { SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { deriveReadKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { openWithAnyKey } from "#protocol/read-sealing.ts";
import { regainFacts } from "./regained-facts.ts";
import {
  FORMER_KEYS_PART,
  REQUESTED_KEYS_PART,
  type SealedPlace,
  keyOfPlace,
  sealedContext,
} from "./sealed-statements.ts";
import { IDENTITY_PART, SiteStatements, stateFacts } from "./site-statements.ts";

export interface RecoveredComponents {
  readonly store: PrimeStore;
  readonly ledger: Ledger;
  readonly now: () => number;
}

export interface RecoveredInit {
  readonly siteId: SiteId;
  readonly kitRoot: Uint8Array;
  /** Somebody else had the site's machine: what he may have said for it is not believed. */
  readonly isTakenOver: boolean;
}

/** What the ledger gave back. */
export interface RegainedRecords {
  /** Undefined when the ledger does not have it: then it was lost with the machine. */
  readonly identityState: IdentityState | undefined;
  readonly agentsCount: number;
  readonly snapshotsCount: number;
  /** Records that could not be opened. */
  readonly brokenCount: number;
  /** What the site's newest live sets have in all. */
  readonly primesBytes: number;
}

export interface Recovered extends RegainedRecords {
  /** Of the read key that the new machine takes: after a takeover the next one. */
  readonly readGeneration: number;
  /** Of a kit that came in place of a former one; undefined when it derives from the kit. */
  readonly scopeSecret: Uint8Array | undefined;
  /** The newest first. */
  readonly formerReadKeys: readonly FormerReadKey[];
}

/** No site takes a new read key so often. */
const GENERATIONS_COUNT = 64;

/** Throws what the store throws. */
export async function recoverRecords(
  components: RecoveredComponents,
  { siteId, kitRoot, isTakenOver }: RecoveredInit,
): Promise<Recovered> {
  const { ledger } = components;
  const saidGeneration = Math.min(
    isTakenOver ? limits.readGenerationsCount - 1 : GENERATIONS_COUNT,
    ledger.statement(siteId, "profile", "")?.statement.readGeneration ?? 1,
  );
  // A kit on which members have agreed, and with which the site has not started since.
  const requested = await formerKeysOf(ledger, siteId, REQUESTED_KEYS_PART, [
    deriveReadKey(kitRoot, saidGeneration + 1).privateKey,
  ]).catch((error: unknown) => {
    if (!isCostorError(error)) throw error;
    return undefined;
  });
  const knownGeneration = requested === undefined ? saidGeneration : saidGeneration + 1;
  const derived = Array.from({ length: knownGeneration }, (_, at) => deriveReadKey(kitRoot, knownGeneration - at));
  const kitKeys = derived.map(({ privateKey }) => privateKey);
  const former =
    requested ??
    (await formerKeysOf(ledger, siteId, FORMER_KEYS_PART, kitKeys).catch((error: unknown) => {
      // What a thief says of former keys may be anything.
      if (!isTakenOver || !isCostorError(error)) throw error;
      return undefined;
    }));
  // A kit that came in place of another one derives no keys of the generations before it.
  const formerReadKeys = isTakenOver
    ? [...derived, ...(former?.readKeys ?? [])]
    : (former?.readKeys ?? derived.slice(1));
  const readGeneration = isTakenOver ? knownGeneration + 1 : knownGeneration;
  const readKeys = [...derived, ...formerReadKeys].map(({ privateKey }) => privateKey);
  const regained = await regainRecords(components, { siteId, readKeys, isTakenOver });
  return { ...regained, readGeneration, formerReadKeys, scopeSecret: former?.scopeSecret };
}

/** With the site's read keys, the newest first. Throws what the store throws. */
export async function regainRecords(
  { store, ledger, now }: RecoveredComponents,
  { siteId, readKeys, isTakenOver }: Omit<RecoveredInit, "kitRoot"> & { readonly readKeys: readonly Uint8Array[] },
): Promise<RegainedRecords> {
  const open = (sealed: Uint8Array, context: Uint8Array): Promise<Uint8Array> =>
    openWithAnyKey(sealed, readKeys, context);
  const changes = new SiteChanges();
  const agents = await AgentRegistry.open(store, changes);
  const snapshots = new SnapshotRegistry({ store, sealer: { seal: notHere, open: notHere } });
  const primes: SitePrimes = new SitePrimes({ store, isReturning: () => true }, { siteId });
  const regained = await RegainedSnapshots.open({ store, primes, snapshots }, { siteId });
  const clock = await ReceivedClock.open(store, now);
  const statements = await SiteStatements.open(
    { store, entries: { write: notHere, withdraw: notHere }, seal: notHere },
    { siteId, identityState: Buffer.alloc(0) },
  );
  let identityState: IdentityState | undefined;
  let snapshotsCount = 0;
  let brokenCount = 0;
  const take = async (place: SealedPlace, value: Uint8Array): Promise<void> => {
    if (isTakenOver) {
      if (place.kind === "state" && place.part === IDENTITY_PART) identityState = parseIdentityState(value);
      const key = keyOfPlace(place);
      if (place.kind === "agent")
        await regainRecord({ store, agents, snapshots, regained, clock, changes }, "agent", key, revokedAgent(value));
      return;
    }
    await statements.told(place, value);
    if (place.kind === "state") {
      const fact = stateFacts.find(({ kind, key }) => place.part === `${kind}/${key}`);
      if (fact !== undefined) await store.appendFacts([{ ...fact, value }]);
      if (place.part === IDENTITY_PART) identityState = parseIdentityState(value);
    } else {
      await regainRecord({ store, agents, snapshots, regained, clock, changes }, place.kind, keyOfPlace(place), value);
      if (place.kind === "snapshot") snapshotsCount++;
    }
  };
  await regainFacts({ ledger, store, open, take, onBroken: () => void brokenCount++ }, { siteId });
  const liveSets = ledger.statements(siteId, "live-set").map(({ statement }) => statement.bytes);
  return {
    ...{ identityState, snapshotsCount, brokenCount },
    agentsCount: agents.activeCount,
    primesBytes: liveSets.reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** What a replaced kit cannot derive. */
async function formerKeysOf(
  ledger: Ledger,
  siteId: SiteId,
  part: string,
  readKeys: readonly Uint8Array[],
): Promise<FormerKeys | undefined> {
  const stated = ledger.statement(siteId, "state", part);
  if (stated === undefined) return undefined;
  const [whole] = await ledger.wholeStatements(stated.logId, stated.seq);
  if (whole?.kind !== "state") return undefined;
  return parseFormerKeys(await openWithAnyKey(whole.sealed, readKeys, sealedContext(siteId, whole)));
}

const notHere = (): Promise<never> =>
  Promise.reject(new CostorError("internal", "a machine that is not a site yet does not do this"));
