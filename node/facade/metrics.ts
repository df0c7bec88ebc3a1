/** Counters of the facade, and the page of them in the Prometheus text format. Names and meanings: docs/metrics.md. */
import { type DrillResult, drillKinds } from "#node/drills/drill-record.ts";
import { drillStandings } from "#node/drills/drill-standing.ts";
import type { ScrubStatus } from "#node/site/scrubber.ts";
import type { Site } from "#node/site/site.ts";

export interface FacadeCounts {
  requestsByStatus: Map<string, number>;
  receivedBytes: number;
}

interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly values: readonly { readonly labels?: string; readonly value: number }[];
}

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

export type DrillResults = () => readonly Pick<DrillResult, "kind" | "endedMs" | "failedCount">[];

export interface MetricsComponents {
  readonly site: Site;
  /** What came of restore drills, the newest first. */
  readonly drills: DrillResults;
}

export async function metricsPage(
  { site, drills }: MetricsComponents,
  counts: FacadeCounts,
  startedMs: number,
): Promise<string> {
  const store = await site.store.stats();
  const scrub = await site.scrubber.status();
  const lostCount = (await site.store.keptTotals()).reduce((sum, total) => sum + total.lostCount, 0);
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    type: "gauge",
    help,
    values: [{ value }],
  });
  const metrics: Metric[] = [
    gauge("costor_agents", "Enrolled agents that are not revoked.", site.agents.activeCount),
    gauge("costor_upload_sessions_open", "Open upload sessions.", site.sessions.openCount),
    gauge("costor_store_primes", "Primes held.", store.primesCount),
    gauge("costor_store_primes_bytes", "Stored bytes of all primes.", store.primesBytes),
    gauge("costor_store_segments_bytes", "Bytes of all segments.", store.segmentsBytes),
    gauge("costor_store_free_bytes", "Free bytes of the file system.", store.freeBytes),
    gauge("costor_store_reserve_bytes", "New data is refused when less would stay free.", store.reserveBytes),
    gauge("costor_store_damaged_stretches", "Damage that no later copy has healed.", store.quarantinedCount),
    gauge(
      "costor_store_damage_healed",
      "Stretches of damage that a later copy has healed.",
      store.damagedCount - store.quarantinedCount,
    ),
    gauge("costor_store_lost_primes", "Primes that are kept, for the site or for others, and are not here.", lostCount),
    gauge("costor_scrub_read_ratio", "How much of the store the present pass has read.", ratioOf(scrub)),
    gauge("costor_scrub_findings", "What the present pass has found damaged.", scrub.findingsCount),
    gauge(
      "costor_scrub_last_pass_seconds",
      "When the last full pass ended; 0 before the first.",
      (scrub.last?.endedMs ?? 0) / 1000,
    ),
    gauge("costor_scrub_paused", "1 while a person has paused the scrub.", Number(scrub.state === "paused")),
    gauge("costor_snapshots_broken", "Snapshots that cannot be restored in full from here.", scrub.broken.length),
    {
      name: "costor_drill_last_passed_seconds",
      type: "gauge",
      help: "When the last restore drill of each kind ended that has passed; 0 before the first.",
      values: drillStandings(drills(), drillKinds, site.now()).map(({ kind, passedMs = 0 }) => ({
        labels: `kind="${kind}"`,
        value: passedMs / 1000,
      })),
    },
    gauge("costor_store_failed", "1 while the store refuses all writes.", Number(store.isFailed)),
    {
      name: "costor_http_requests_total",
      type: "counter",
      help: "Requests answered, by the first digit of the status.",
      values: [...counts.requestsByStatus].map(([status, value]) => ({ labels: `status="${status}"`, value })),
    },
    {
      name: "costor_http_received_bytes_total",
      type: "counter",
      help: "Announced bytes of request bodies.",
      values: [{ value: counts.receivedBytes }],
    },
    gauge("process_resident_memory_bytes", "Resident memory of the site's process.", process.memoryUsage.rss()),
    gauge("process_start_time_seconds", "When the site was started.", startedMs / 1000),
  ];
  return metrics.map(render).join("");
}

const ratioOf = ({ readBytes, totalBytes }: ScrubStatus): number =>
  totalBytes === 0 ? 0 : Math.min(1, readBytes / totalBytes);

function render({ name, type, help, values }: Metric): string {
  const lines = values.map(({ labels, value }) => `${name}${labels ? `{${labels}}` : ""} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}
