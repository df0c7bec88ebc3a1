/** A site that is open: its identity, its store and what it knows of agents, sessions and snapshots. No network. */
import { createHash } from "node:crypto";
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { AgentRegistry } from "./agent-registry.ts";
import { BrakeAlarms } from "./brake-alarms.ts";
import { Enrolments } from "./enrolments.ts";
import { fetchFirstNeeded } from "./first-needed.ts";
import {
  type SiteIdentity,
  type SiteSecrets,
  encodeIdentityState,
  readIdentity,
  readSecrets,
  siteDirectoryOf,
} from "./identity.ts";
import { formerKeysState } from "./former-keys.ts";
import { type KitCheck, confirmKit, readKitCheck } from "./kit-check.ts";
import { type ServerCredentials, provideLeaf } from "./leaf.ts";
import { ReceivedClock } from "./received-clock.ts";
import { makeRootSealer, readKeysOf } from "./root-sealer.ts";
import { regainRecord } from "./regained-records.ts";
import { RegainedSnapshots } from "./regained-snapshots.ts";
import { Scrubber } from "./scrubber.ts";
import { SiteChanges } from "./site-changes.ts";
import { readFactValue } from "./site-facts.ts";
import { SitePrimes } from "./site-primes.ts";
import { SnapshotKeeps } from "./snapshot-keeps.ts";
import { SnapshotRegistry } from "./snapshot-registry.ts";
import { systemClock } from "./system-clock.ts";
import { systemRng } from "./system-rng.ts";
import { UploadSessions } from "./upload-sessions.ts";

export interface SiteComponents {
  readonly store: PrimeStore;
  readonly now: () => number;
}

export interface Machine {
  /** Ed25519 seed of its PeerId, 32 bytes. */
  readonly peerSeed: Uint8Array;
  /** X25519, 32 bytes. */
  readonly readKey: Uint8Array;
  readonly readGeneration: number;
  /** What another machine would have to know of the site's identity. */
  readonly identityState: Uint8Array;
  /** What former kits opened; undefined for a site that has its first kit. */
  readonly formerKeysState: Uint8Array | undefined;
  /** Seals to the read key, bound to `context`. */
  seal(plain: Uint8Array, context: Uint8Array): Promise<Uint8Array>;
  /** Opens what was sealed to the read key. Throws `seal-broken`. */
  open(sealed: Uint8Array, context: Uint8Array): Promise<Uint8Array>;
}

export interface Site {
  readonly identity: SiteIdentity;
  readonly scopeSecret: Uint8Array;
  /** What this machine is as the site among others. */
  readonly machine: Machine;
  readonly store: PrimeStore;
  readonly agents: AgentRegistry;
  readonly enrolments: Enrolments;
  readonly sessions: UploadSessions;
  readonly snapshots: SnapshotRegistry;
  readonly snapshotKeeps: SnapshotKeeps;
  /** For whoever reads: not only what is here. */
  readonly primes: SitePrimes;
  readonly regainedSnapshots: RegainedSnapshots;
  /** As `SiteRecords.fetchFirst`. */
  fetchFirst(fetch: (ids: readonly PrimeId[]) => Promise<void>, signal?: AbortSignal): Promise<void>;
  readonly scrubber: Scrubber;
  readonly changes: SiteChanges;
  readonly brakeAlarms: BrakeAlarms;
  /** An agent, or a snapshot that is not here, as another machine of this site has told the ledger. Durable when it resolves. */
  regain(kind: "agent" | "snapshot", key: string, value: Uint8Array): Promise<void>;
  /** When the newest snapshot was received; 0 before the first. */
  receivedMs(): number;
  /** Milliseconds since 1970, by the machine's clock. */
  now(): number;
  /** Throws `identity-damaged`: the file serves nothing but the reminder, so a site is opened without it. */
  kitCheck(): Promise<KitCheck>;
  confirmKit(words: ReadonlyMap<number, string>): Promise<KitCheck>;
  /** A certificate for a site that is reached at `hosts`; the one at hand while it is good. */
  credentials(hosts: readonly string[]): Promise<ServerCredentials>;
  /** Where agents find the site: what {@link Site.announce} was last told. */
  addresses(): Promise<readonly string[]>;
  announce(addresses: readonly string[]): Promise<void>;
}

const ADDRESSES = { kind: "site", key: "addresses" } as const;
const addressesSchema = v.strictObject({ addresses: v.array(v.string()) });

/** Opens the site whose identity is in `dataDirectory`; the store stays the caller's. Throws `identity-damaged`, `store-damaged`. */
export async function openSite(dataDirectory: string, { store, now }: SiteComponents): Promise<Site> {
  const siteDirectory = siteDirectoryOf(dataDirectory);
  const identity = await readIdentity(siteDirectory);
  const secrets: SiteSecrets = await readSecrets(siteDirectory);
  const caHash = createHash("sha256").update(identity.caCertificate).digest();
  const changes = new SiteChanges();
  const agents = await AgentRegistry.open(store, changes);
  const snapshots = new SnapshotRegistry({ store, sealer: makeRootSealer(identity, secrets) });
  const clock = await ReceivedClock.open(store, now);
  const keep = (ids: readonly PrimeId[]): Promise<void> => store.keep(identity.siteId, ids);
  const sessions = await UploadSessions.open({
    changes,
    store,
    snapshots,
    clock,
    keep,
    now,
  });
  const primes: SitePrimes = new SitePrimes({ store, isReturning: () => regained.isAny }, identity);
  const regained = await RegainedSnapshots.open({ store, primes, snapshots }, identity);
  const addresses = async (): Promise<readonly string[]> => {
    const value = await store.fact(ADDRESSES.kind, ADDRESSES.key);
    return value === undefined ? [] : readFactValue(value, addressesSchema, "address").addresses;
  };
  passFailpoint("start.site-open");
  return {
    identity,
    scopeSecret: secrets.scopeSecret,
    machine: machineOf(identity, secrets),
    store,
    agents,
    enrolments: new Enrolments({ store, agents, now, siteId: identity.siteId, caHash }),
    sessions,
    snapshots,
    snapshotKeeps: new SnapshotKeeps({ store, primes, keep, snapshots, regained }),
    primes,
    regainedSnapshots: regained,
    fetchFirst: (fetch, signal) => fetchFirstNeeded({ snapshots, primes, regained }, fetch, signal),
    scrubber: new Scrubber({ store, snapshots, clock: systemClock, rng: systemRng }),
    changes,
    brakeAlarms: await BrakeAlarms.open({ store, now }),
    regain: (kind, key, value) =>
      regainRecord({ store, agents, snapshots, regained, clock, changes }, kind, key, value),
    receivedMs: () => clock.floorMs,
    now,
    kitCheck: () => readKitCheck(siteDirectory),
    confirmKit: (words) => confirmKit(siteDirectory, words, now()),
    credentials: (hosts) => provideLeaf({ siteDirectory, identity, secrets }, hosts, now()),
    addresses,
    announce: async (announced) => {
      if (announced.join() === (await addresses()).join()) return;
      await store.appendFacts([{ ...ADDRESSES, value: encodeCbor({ addresses: announced }) }]);
    },
  };
}

function machineOf(identity: SiteIdentity, secrets: SiteSecrets): Machine {
  const { peerSeed, readPrivateKey, readGeneration } = secrets;
  const readKeys = readKeysOf(secrets);
  const readKey = publicKeyOf("x25519", readPrivateKey);
  return {
    peerSeed,
    readKey,
    readGeneration,
    identityState: encodeIdentityState({ ...identity, ...secrets }),
    formerKeysState: formerKeysState(secrets),
    seal: async (plain, context) => {
      const { sealToReadKey } = await import("#protocol/read-sealing.ts");
      return sealToReadKey(plain, readKey, context);
    },
    open: async (sealed, context) => {
      const { openWithAnyKey } = await import("#protocol/read-sealing.ts");
      return openWithAnyKey(sealed, readKeys, context);
    },
  };
}
