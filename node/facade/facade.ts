/**
 * The site's HTTPS server. Order of a request: caps on connections, TLS, Node's time-outs, authentication (before a byte of
 * the body is read), body, route. Every error leaves through one handler as problem+json. No log line holds a name of
 * a file, a token or a body.
 */
import rateLimit from "@fastify/rate-limit";
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, LogController } from "fastify";
import type { Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { ServerCredentials } from "#node/site/leaf.ts";
import type { Site } from "#node/site/site.ts";
import { CostorError } from "#protocol/errors.ts";
import { contentTypes, paths } from "#protocol/http.ts";
import { limits } from "#protocol/limits.ts";
import { type CopiesOf, addAgentRoutes } from "./agent-routes.ts";
import { authenticate, makeFailureCounter } from "./authentication.ts";
import { BodyReader } from "./bodies.ts";
import { BodyBudget } from "./body-budget.ts";
import { capConnections } from "./connections.ts";
import { addExportRoutes } from "./export-routes.ts";
import type { DrillResults, FacadeCounts } from "./metrics.ts";
import { addPrimeRoutes } from "./prime-routes.ts";
import { asCostorError, sendProblem } from "./problem.ts";
import { watchRequestEnds } from "./request-end.ts";
import { addServiceRoutes, publicPaths } from "./service-routes.ts";

export interface FacadeComponents {
  readonly site: Site;
  /** Left out where there is no federation. */
  readonly copiesOf?: CopiesOf;
  /** Whether another machine has taken the site's place: what is backed up here would be nowhere else. */
  readonly isSuperseded?: () => boolean;
  /** What came of restore drills; none when left out. */
  readonly drills?: DrillResults;
  readonly log: FastifyBaseLogger;
}

/** How long clients may take. */
export interface FacadePatience {
  readonly headersMs: number;
  readonly requestMs: number;
  readonly idleMs: number;
  /** How often the rate of a body is looked at. */
  readonly bodyWatchMs: number;
}

const usualPatience: FacadePatience = {
  headersMs: limits.requestHeadersMs,
  requestMs: limits.requestMs,
  idleMs: limits.connectionIdleMs,
  bodyWatchMs: limits.bodyWatchMs,
};

export interface FacadeInit {
  /** That of `limits` when left out. */
  readonly patience?: FacadePatience;
  readonly credentials: ServerCredentials;
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
}

export interface Facade extends AsyncDisposable {
  readonly address: AddressInfo;
  /** For new connections; those that stand go on. */
  useCredentials(credentials: ServerCredentials): void;
}

/** Listens when it returns. Throws `listen-failed`. Disposing it answers what is under way and closes every connection. */
export async function startFacade(components: FacadeComponents, init: FacadeInit): Promise<Facade> {
  const { site, log, copiesOf = () => undefined, isSuperseded = () => false, drills = () => [] } = components;
  const patience = init.patience ?? usualPatience;
  const https = {
    ...tlsOptions(init.credentials),
    handshakeTimeout: patience.headersMs,
    headersTimeout: patience.headersMs,
    connectionsCheckingInterval: Math.min(2_000, patience.headersMs),
    maxHeaderSize: limits.requestHeaderBytes,
  };
  const server = Fastify({
    https,
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.batchBytes,
    requestTimeout: patience.requestMs,
    connectionTimeout: patience.idleMs,
    maxRequestsPerSocket: limits.requestsPerConnectionCount,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 100 },
    frameworkErrors: (error, request, reply) => void sendProblem(request, reply, asCostorError(error)),
    clientErrorHandler: answerBrokenRequest,
  });
  capConnections(server.server);
  await addRoutes(
    server as unknown as FastifyInstance,
    { site, copiesOf, isSuperseded, drills },
    new BodyReader(patience.bodyWatchMs),
  );
  try {
    await server.listen({ host: init.host, port: init.port });
  } catch (cause) {
    throw new CostorError("listen-failed", `${init.host}, port ${init.port}, cannot be listened on`, { cause });
  }
  return {
    address: server.server.address() as AddressInfo,
    useCredentials: (credentials) => server.server.setSecureContext(tlsOptions(credentials)),
    [Symbol.asyncDispose]: () => closeServer(server as unknown as FastifyInstance, server.server),
  };
}

const tlsOptions = ({ key, cert }: ServerCredentials) => ({ key, cert, minVersion: "TLSv1.3" as const });

/** How long requests under way may take once the site stops; a batch that is not acknowledged is sent again. */
const CLOSE_PATIENCE_MS = 5_000;

async function closeServer(server: FastifyInstance, raw: Server): Promise<void> {
  const impatience = setTimeout(() => raw.closeAllConnections(), CLOSE_PATIENCE_MS);
  try {
    await server.close();
  } finally {
    clearTimeout(impatience);
  }
}

async function addRoutes(
  server: FastifyInstance,
  { site, copiesOf, isSuperseded, drills }: Required<Omit<FacadeComponents, "log">>,
  bodies: BodyReader,
): Promise<void> {
  const counts: FacadeCounts = { requestsByStatus: new Map(), receivedBytes: 0 };
  await server.register(rateLimit, { global: false });
  const countFailure = makeFailureCounter(server);

  watchRequestEnds(server);
  server.decorateRequest("agent", undefined);
  server.addHook("onRequest", async (request, reply) => {
    reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
    if (request.is404 || publicPaths.has(request.routeOptions.url ?? "")) return;
    await authenticate(request, site.agents, countFailure);
  });
  server.addHook("onRequest", async (request) => {
    if (backupPaths.has(request.routeOptions.url ?? "") && isSuperseded())
      throw new CostorError("site-superseded", "this machine is not the site any more");
  });
  server.addHook("onResponse", async (request, reply) => {
    const status = `${Math.floor(reply.statusCode / 100)}xx`;
    counts.requestsByStatus.set(status, (counts.requestsByStatus.get(status) ?? 0) + 1);
    counts.receivedBytes += Number(request.headers["content-length"] ?? 0);
    request.log.debug(
      {
        method: request.method,
        route: request.routeOptions.url,
        status: reply.statusCode,
        agent: request.agent?.id,
        ms: reply.elapsedTime,
      },
      "request",
    );
  });

  server.removeAllContentTypeParsers();
  // Octets stay unread for their routes, which know how much they take.
  server.addContentTypeParser(contentTypes.octets, async () => undefined);
  server.addContentTypeParser(contentTypes.json, async (request: FastifyRequest) =>
    parseJson(await bodies.read(request, request.agent ? limits.jsonBodyBytes : limits.enrolBodyBytes)),
  );

  server.setErrorHandler((error, request, reply) => {
    const known = asCostorError(error);
    if (known.status >= 500)
      request.log.error({ err: error, route: request.routeOptions.url, code: known.code }, "a request failed");
    return sendProblem(request, reply, known);
  });
  server.setNotFoundHandler((request, reply) =>
    sendProblem(request, reply, new CostorError("not-found", "there is nothing at this address")),
  );

  addServiceRoutes(server, { site, drills }, counts);
  addAgentRoutes(server, { site, copiesOf, countFailure });
  const answers = new BodyBudget(limits.answersInMemoryBytes);
  addPrimeRoutes(server, site, bodies, answers);
  addExportRoutes(server, site, answers);
}

/** What a machine does not do for a site whose place another one has taken. */
const backupPaths: ReadonlySet<string> = new Set([
  paths.enrol,
  paths.sessions,
  paths.missing(":id"),
  paths.primes(":id"),
  paths.commit(":id"),
]);

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"), (key, value: unknown) => (key === "__proto__" ? undefined : value));
  } catch (cause) {
    throw new CostorError("bad-request", "the body is no JSON", { cause });
  }
}

/** What cannot be parsed as HTTP, or came too slowly, gets a bare answer where there is still somebody to read it. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  // Without TLS there is nobody whom an answer would reach.
  if (/^(ECONNRESET|EPROTO|ERR_TLS_|ERR_SSL_)/.test(error.code ?? "") || !socket.writable) return void socket.destroy();
  const [status, code] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", "limit-exceeded"]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", "bad-request"]
        : ["400 Bad Request", "bad-request"];
  const body = JSON.stringify({
    type: `urn:costor:error:${code}`,
    title: code,
    status: Number(status!.slice(0, 3)),
    detail: "the request could not be read",
    code,
  });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: ${contentTypes.problem}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
