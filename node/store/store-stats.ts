/** What a store holds, and how it is. */
import type { Disk } from "./disk.ts";
import { unhealedDamage } from "./prime-reader.ts";
import type { StoreStats } from "./prime-store.ts";
import type { RecordLog } from "./record-log.ts";
import type { SpaceReserve } from "./space-reserve.ts";

export interface StoreStatsComponents {
  readonly disk: Disk;
  readonly log: RecordLog;
  readonly reserve: SpaceReserve;
}

export async function storeStats({ disk, log, reserve }: StoreStatsComponents): Promise<StoreStats> {
  const { freeBytes, totalBytes } = await disk.space();
  return log.live.read(async (index) => {
    const indexBytes = await index.sizeBytes();
    const finished = [...(await index.segments()).values()].filter((endBytes) => endBytes !== undefined);
    const { segment, endBytes } = log.end;
    return {
      primesCount: index.meta.primeCount,
      primesBytes: index.meta.primeBytes,
      factsCount: index.meta.facts.count,
      segmentsCount: finished.length + (segment > 0 ? 1 : 0),
      segmentsBytes: finished.reduce((sum, bytes) => sum + bytes, endBytes),
      indexBytes,
      freeBytes,
      reserveBytes: reserve.reserveBytes(totalBytes, indexBytes),
      quarantinedCount: (await unhealedDamage(index)).length,
      damagedCount: (await index.quarantined()).length,
      isFailed: log.isFailed,
    };
  });
}
