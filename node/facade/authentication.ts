/** Who asks: agents by their bearer token. Only failures count against an address, so no neighbour can lock an agent out. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { AgentRecord, AgentRegistry } from "#node/site/agent-registry.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The agent that asks; set on every route but those of `publicPaths`. */
    agent: AgentRecord | undefined;
  }
}

/** Counts a failure of the request's address. Throws `too-many-requests` when there were too many of them. */
export type FailureCounter = (request: FastifyRequest) => Promise<void>;

/** Needs the rate-limit plugin. */
export function makeFailureCounter(server: FastifyInstance): FailureCounter {
  const count = server.createRateLimit({ max: limits.authenticationFailuresPerMinuteCount, timeWindow: 60_000 });
  return async (request) => {
    const state = await count(request);
    if (state.isAllowed || !state.isExceeded) return;
    throw new CostorError("too-many-requests", "too many failed attempts from this address", {
      details: { retryAfterSeconds: state.ttlInSeconds },
    });
  };
}

const BEARER = /^Bearer ([A-Za-z0-9._~+/=-]{1,200})$/i;

/** Throws `unauthorised`, alike for a token that is missing, malformed, unknown or revoked. */
export async function authenticate(
  request: FastifyRequest,
  agents: AgentRegistry,
  countFailure: FailureCounter,
): Promise<void> {
  const token = BEARER.exec(request.headers.authorization ?? "")?.[1];
  request.agent = agents.authenticate(token ?? "");
  if (request.agent) return;
  await countFailure(request);
  throw new CostorError("unauthorised", "an agent's token is needed");
}

/** The agent that `request` was authenticated as. */
export function agentOf(request: FastifyRequest): AgentRecord {
  if (!request.agent) throw new CostorError("unauthorised", "an agent's token is needed");
  return request.agent;
}
