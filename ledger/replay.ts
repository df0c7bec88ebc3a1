/** Makes a replica of what a store has kept, whatever the order in which it came. */
import type { Log } from "./entry.ts";
import type { KeptLedger } from "./kept-ledger.ts";
import type { Replica } from "./replica.ts";

export interface ReplayRules {
  /** Whether a recovery key that counts has opened it. */
  counts(log: Log): boolean;
  /** By what is in the replica so far: guests may speak by entries of members. */
  lastAllowedSeq(log: Log): number;
}

export function replay(replica: Replica, kept: KeptLedger, { counts, lastAllowedSeq }: ReplayRules): void {
  const logs = kept.logs.filter(counts);
  let waiting = kept.entries;
  const applyAllowed = (): void => {
    waiting = waiting.filter((held) => {
      const state = replica.log(held.logId);
      if (state === undefined || held.seq > state.boundary) return true;
      replica.apply(held);
      return false;
    });
  };
  const isAllowed = (log: Log): boolean => lastAllowedSeq(log) >= 0;
  const later = logs.filter((log) => !isAllowed(log));
  for (const log of logs.filter(isAllowed)) replica.addLog(log, lastAllowedSeq(log));
  applyAllowed();
  for (const log of later) replica.addLog(log, lastAllowedSeq(log));
  applyAllowed();
  for (const { logId, seq, proof } of kept.forks) {
    const state = replica.log(logId);
    if (state !== undefined && seq <= state.boundary) state.fork = proof;
  }
  for (const held of kept.unplaced)
    if (held.seq <= (replica.log(held.logId)?.boundary ?? -1)) replica.applyUnplaced(held);
}
