/** What of retention people should look at, in sentences for them. */
import { wallTimeOf } from "#ledger/plan-retention.ts";
import type { StoreStats } from "#node/store/prime-store.ts";
import type { JudgedRecord } from "./judging.ts";

const DAY_MS = 24 * 3_600_000;
/** More snapshots of one agent's job in a day than any schedule makes. */
const FLOOD_COUNT = 100;
/** Free space, as a multiple of what is held in reserve, below which people should act. */
const LOW_SPACE_RATIO = 2;

export interface AlarmInputs {
  readonly judged: readonly JudgedRecord[];
  readonly stats: Pick<StoreStats, "freeBytes" | "reserveBytes">;
  /** Snapshots of the ledger that no key of the site opens. */
  readonly unreadCount: number;
  readonly nowMs: number;
  /** Of the second person; `endsMs`: about when there is none any more, because the code is said to be lost. */
  readonly wrongCodesCount: number;
  readonly endsMs?: number | undefined;
}

export function retentionAlarms(inputs: AlarmInputs): string[] {
  const { judged, stats, unreadCount, nowMs, wrongCodesCount, endsMs } = inputs;
  const alarms: string[] = [];
  if (endsMs !== undefined)
    alarms.push(
      `the code of the second person is said to be lost, and from about ${new Date(endsMs).toISOString().slice(0, 10)} on nobody has to approve anything; costor site retention second-person undo takes that back`,
    );
  if (wrongCodesCount > 0)
    alarms.push(`codes that are not the second person's were given (${wrongCodesCount}); find out by whom`);
  const removed = judged.filter(({ expiry }) => expiry?.cause === "person");
  if (removed.length > 0)
    alarms.push(
      `people have removed snapshots (${removed.length}); costor site snapshot restore can still put them back`,
    );
  const ahead = judged.filter((record) => record.startedMs > wallTimeOf(record) + DAY_MS);
  for (const [agent, snapshots] of Map.groupBy(ahead, (record) => record.agent))
    alarms.push(`the clock of agent ${agent} was ahead in ${snapshots.length} snapshots; it decides nothing`);
  const recent = judged.filter((record) => Math.abs(nowMs - wallTimeOf(record)) < DAY_MS);
  for (const [group, { length }] of Map.groupBy(recent, ({ agent, job }) => `agent ${agent}, job ${job}`).entries())
    if (length > FLOOD_COUNT) alarms.push(`${group} has made ${length} snapshots within a day`);
  if (unreadCount > 0)
    alarms.push(
      `the ledger tells of snapshots (${unreadCount}) that no key of this site opens; they are put aside: a thief's, or of a kit that is lost`,
    );
  if (stats.freeBytes < stats.reserveBytes * LOW_SPACE_RATIO)
    alarms.push("the disk is nearly full; what the policy keeps is kept all the same, and backups will be refused");
  return alarms;
}
