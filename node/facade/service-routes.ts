/** Routes for those who run the site: health, metrics, and the description of the API. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Site } from "#node/site/site.ts";
import { CostorError } from "#protocol/errors.ts";
import { type FacadeCounts, metricsContentType, metricsPage } from "./metrics.ts";

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

export function addServiceRoutes(server: FastifyInstance, site: Site, counts: FacadeCounts): void {
  const startedMs = site.now();
  server.get("/health", () => ({ status: "ok" }));
  server.get("/ready", () => ({ status: "ready" }));
  server.get("/metrics", (request, reply) => {
    requireLoopback(request);
    return reply.type(metricsContentType).send(metricsPage(site, counts, startedMs));
  });
  server.get("/v1/openapi.json", async () => (await import("./openapi.ts")).describeApi());
}
