/** Ends what nothing reaches any more, and gives its space back: the half of the store that takes away. */
import { CostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, type SiteId, primeIdToBytes } from "#protocol/ids.ts";
import { compactSegments } from "./compaction.ts";
import type { Disk } from "./disk.ts";
import type { CollectInit, CollectReport, CompactionReport, SpaceReport } from "./prime-store.ts";
import { agentIdToBytes, deletionRecords, siteIdToBytes } from "./record-body.ts";
import type { RecordLog } from "./record-log.ts";
import { planReleases, type ReleaseRequest } from "./release-plan.ts";
import type { SegmentReader } from "./segment-reader.ts";

export interface SpaceReturnComponents {
  readonly disk: Disk;
  readonly log: RecordLog;
  readonly reader: SegmentReader;
}

export interface SpaceReturnInit {
  readonly segmentBytes: number;
}

/** A release looks for segments to empty once so much was removed since the last time: with less hardly one is mostly dead that was not before. */
const lookedForShare = 1 / 4;
/** Ids of one turn of the writer. */
const releasedAtOnceCount = 4096;

export class SpaceReturn {
  readonly #components: SpaceReturnComponents;
  readonly #lookedForBytes: number;
  readonly #end = new AbortController();
  /** Since segments were looked for. */
  #removedBytes = 0;
  #compacting: Promise<unknown> = Promise.resolve();

  constructor(components: SpaceReturnComponents, { segmentBytes }: SpaceReturnInit) {
    this.#components = components;
    this.#lookedForBytes = segmentBytes * lookedForShare;
  }

  async release(site: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    let removedPrimesCount = 0;
    for (const part of partsOf(ids)) {
      signal?.throwIfAborted();
      const request = releaseRequest(site, part);
      await this.#components.log.submit(request);
      removedPrimesCount += request.removedPrimesCount;
      this.#removedBytes += request.removedBytes;
    }
    // Looking takes the whole index.
    return {
      removedPrimesCount,
      ...(this.#removedBytes < this.#lookedForBytes ? noSpace : await this.compact(signal)),
    };
  }

  async collect(site: SiteId, ids: readonly PrimeId[], { relying, isDry }: CollectInit): Promise<CollectReport> {
    const { log } = this.#components;
    const agents = new Set(relying.map(textOf));
    let removedPrimesCount = 0;
    let removedBytes = 0;
    // Who has not sent it has to be known.
    await log.live.verified("rest");
    for (const part of partsOf(ids)) {
      const request = releaseRequest(site, part, agents);
      if (isDry !== true) await log.submit(request);
      else await log.live.read((index) => planReleases(index, [request], { claimed: new Set(), kept: new Set() }));
      removedPrimesCount += request.removedPrimesCount;
      removedBytes += request.removedBytes;
    }
    return { removedPrimesCount, removedBytes };
  }

  async remove(ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    const { log } = this.#components;
    const count = () => log.live.read(async (index) => index.meta.primeCount);
    const before = await count();
    const records = deletionRecords(ids.map(primeIdToBytes));
    if (ids.length > 0) await log.submit({ type: "records", records, cause: "site" });
    const removedPrimesCount = before - (await count());
    return { removedPrimesCount, ...(await this.compact(signal)) };
  }

  /** One after the other: two would empty the same segment. */
  compact(signal?: AbortSignal): Promise<SpaceReport> {
    const { disk, log, reader } = this.#components;
    const compacted = this.#compacting.then(() => {
      this.#removedBytes = 0;
      return compactSegments(
        { disk, live: log.live, reader, runAlone: (action) => log.runAlone(action) },
        {
          logEnd: () => log.end,
          append: (records) => log.writeInTurn(records, { isCold: true }),
          endSegment: () => log.endSegmentInTurn(),
          quarantine: (damage) => log.recordFoundDamageInTurn(damage),
          signal: AbortSignal.any([this.#end.signal, ...(signal ? [signal] : [])]),
        },
      );
    });
    this.#compacting = compacted.catch(() => undefined);
    return compacted;
  }

  /** Before the log is closed: a compaction under way ends between two steps. */
  async stop(): Promise<void> {
    this.#end.abort(new CostorError("store-failed", "the store is closed"));
    await this.#compacting;
  }
}

const noSpace: SpaceReport = { removedSegmentsCount: 0, movedBytes: 0, freedBytes: 0 };

const textOf = (agent: AgentId): string => agentIdToBytes(agent).toString("latin1");

function* partsOf(ids: readonly PrimeId[]): Generator<Buffer[]> {
  for (let at = 0; at < ids.length; at += releasedAtOnceCount)
    yield ids.slice(at, at + releasedAtOnceCount).map(primeIdToBytes);
}

const releaseRequest = (site: SiteId, ids: readonly Buffer[], relying?: ReadonlySet<string>): ReleaseRequest => ({
  ...{ type: "release", site: siteIdToBytes(site), ids },
  ...(relying && { relying }),
  ...{ removedPrimesCount: 0, removedBytes: 0 },
});
