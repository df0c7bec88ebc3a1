/** Counters of the facade, and the page of them in the Prometheus text format. Names and meanings: docs/metrics.md. */
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

export function metricsPage(site: Site, counts: FacadeCounts, startedMs: number): string {
  const memory = process.memoryUsage();
  const metrics: Metric[] = [
    {
      name: "costor_agents",
      type: "gauge",
      help: "Enrolled agents that are not revoked.",
      values: [{ value: site.agents.activeCount }],
    },
    {
      name: "costor_upload_sessions_open",
      type: "gauge",
      help: "Open upload sessions.",
      values: [{ value: site.sessions.openCount }],
    },
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
    {
      name: "process_resident_memory_bytes",
      type: "gauge",
      help: "Resident memory of the site's process.",
      values: [{ value: memory.rss }],
    },
    {
      name: "process_start_time_seconds",
      type: "gauge",
      help: "When the site was started.",
      values: [{ value: startedMs / 1000 }],
    },
  ];
  return metrics.map(render).join("");
}

function render({ name, type, help, values }: Metric): string {
  const lines = values.map(({ labels, value }) => `${name}${labels ? `{${labels}}` : ""} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}
