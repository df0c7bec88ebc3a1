/** What runs on a simulated machine, and what it is given. */
import type { Log } from "#ledger/entry.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { FederationControl } from "#node/federation/federation-control.ts";
import type { Doorkeeper, Transport } from "#node/federation/transport.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SnapshotId } from "#protocol/ids.ts";
import type { SimIdentity } from "./sim-identity.ts";
import type { SeededRng } from "./seeded-rng.ts";
import type { SiteClock } from "./site-clock.ts";
import type { SimSnapshot } from "./workload.ts";

/** One life of one machine: all ports that its program has. */
export interface Machine {
  readonly identity: SimIdentity;
  readonly place: string;
  readonly store: PrimeStore;
  /** Ends the one that was made before. */
  readonly makeTransport: (doorkeeper?: Doorkeeper) => Transport;
  /** The machines that act for the other sites now, as people know who have a kit. */
  readonly others: () => readonly Log[];
  readonly clock: SiteClock;
  /** Errors that are the program's own fault end the run. */
  readonly onFault: (error: unknown) => void;
  readonly rng: SeededRng;
}

export interface SiteProgram {
  readonly ledger: Ledger;
  /** What people can tell it; undefined for a program that has nobody to tell. */
  readonly control: FederationControl | undefined;
  /** Whether it says what is live, and so what is safe: whoever is under suspicion does not. */
  readonly signs: boolean;
  /** The same at all sites that know the same. */
  digest(): string;
  /** Keeps what an agent has backed up; resolves once the agent would be told that it is kept. */
  commit(snapshot: SimSnapshot): Promise<void>;
  /** Forgets a snapshot, and then what no snapshot reaches any more: `unreached` is asked when the snapshot is gone. */
  expire(snapshot: SimSnapshot, unreached: () => readonly PrimeId[]): Promise<void>;
  /** Those of this machine's that are safe, in the meaning of docs/specs/replication.md. */
  safeSnapshots(): Promise<SnapshotId[]>;
  /** People show it the certificate of another site's new machine. */
  meet(certificate: Uint8Array): Promise<void>;
  /** What the site has yet to do once all is well, such as "has 3 snapshots to state"; undefined when nothing. */
  whyNotSettled(): Promise<string | undefined>;
  /** Ends in order. */
  stop(): Promise<void>;
}

export type StartProgram = (machine: Machine) => Promise<SiteProgram>;
