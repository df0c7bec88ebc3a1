/** Routes for those who run the site: health, metrics, and the description of the API. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Site } from "#node/site/site.ts";
import { CostorError } from "#protocol/errors.ts";
import { type FacadeCounts, type MetricsComponents, metricsContentType, metricsPage } from "./metrics.ts";

/** Routes that need no token. */
export const publicPaths: ReadonlySet<string> = new Set([
  "/v1/enrol",
  "/v1/openapi.json",
  "/health",
  "/ready",
  "/metrics",
]);

const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;

/** Figures about a site tell what its machines do, so they are for its own machine only. Throws `not-found`. */
function requireLoopback(request: FastifyRequest): void {
  if (!LOOPBACK.test(request.socket.remoteAddress ?? ""))
    throw new CostorError("not-found", "there is nothing at this address");
}

/** Anybody may ask, so the store is asked at most this often. */
const READINESS_LASTS_MS = 1000;

/** The check throws `store-failed` or `store-full` while the site takes no backups. */
function makeReadinessCheck({ store }: Site): () => Promise<void> {
  let checked: Promise<void> | undefined;
  const check = async (): Promise<void> => {
    const { isFailed, freeBytes, reserveBytes } = await store.stats();
    if (isFailed) throw new CostorError("store-failed", "the store takes no writes");
    if (freeBytes < reserveBytes) throw new CostorError("store-full", "less is free than what is kept in reserve");
  };
  return () => {
    if (checked === undefined) {
      checked = check();
      setTimeout(() => (checked = undefined), READINESS_LASTS_MS).unref();
    }
    return checked;
  };
}

export function addServiceRoutes(server: FastifyInstance, components: MetricsComponents, counts: FacadeCounts): void {
  const { site } = components;
  const startedMs = site.now();
  server.get("/health", () => ({ status: "ok" }));
  const checkReadiness = makeReadinessCheck(site);
  server.get("/ready", async () => {
    await checkReadiness();
    return { status: "ready" };
  });
  server.get("/metrics", async (request, reply) => {
    requireLoopback(request);
    return reply.type(metricsContentType).send(await metricsPage(components, counts, startedMs));
  });
  server.get("/v1/openapi.json", async () => (await import("./openapi.ts")).describeApi());
}
