/** A backup program under measurement: CoStor, or one that it is compared with. */
import type { Command } from "./measure.ts";

export interface Contender {
  readonly name: string;
  /** Starts a server with an empty store below `folder`. The caller disposes it before it removes the folder. */
  start(folder: string): Promise<RunningContender>;
}

export interface RunningContender extends AsyncDisposable {
  readonly serverPid: number;
  /** What the server keeps on disk; its size is the "stored" figure. */
  readonly storeFolder: string;
  /** Prepares a client of that name (enrolment, repository). Not measured; called once a name, before any backup. */
  prepare(machine: string): Promise<void>;
  /** A backup of `paths` as one snapshot of `machine`, encrypted, over TLS, with the program's own defaults. */
  backup(machine: string, paths: readonly string[]): Command;
  /** A restore of the machine's newest snapshot; the original `/a/b` comes to lie at `target/a/b`. */
  restore(machine: string, target: string): Promise<Command>;
}
