/** The agent's API but for the primes themselves: enrolment, check-in, sessions, snapshots. */
import type { FastifyInstance } from "fastify";
import * as v from "valibot";
import type { Site } from "#node/site/site.ts";
import { parseSessionPath } from "#node/site/upload-sessions.ts";
import { CostorError } from "#protocol/errors.ts";
import {
  type CheckInResponse,
  type CommitResponse,
  type EnrolResponse,
  type OpenSessionResponse,
  type SnapshotResponse,
  type SnapshotSummary,
  commitRequest,
  enrolRequest,
  openSessionRequest,
  paths,
} from "#protocol/http.ts";
import { type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { type FailureCounter, agentOf } from "./authentication.ts";

interface IdInPath {
  Params: { id: string };
}

/** What is known of the copies of a snapshot that was received at that time; undefined outside of a federation. */
export type CopiesOf = (receivedMs: number) => SnapshotSummary["copies"];

export interface AgentRoutesComponents {
  readonly site: Site;
  readonly copiesOf: CopiesOf;
  readonly countFailure: FailureCounter;
}

export function addAgentRoutes(server: FastifyInstance, { site, copiesOf, countFailure }: AgentRoutesComponents): void {
  const withCopies = <Summary extends SnapshotSummary>(summary: Summary): Summary => {
    const copies = copiesOf(summary.receivedMs);
    return copies === undefined ? summary : { ...summary, copies };
  };

  server.post(paths.enrol, async (request): Promise<EnrolResponse> => {
    const { secret, hostName } = v.parse(enrolRequest, request.body);
    try {
      const { agent, token } = await site.enrolments.redeem(Buffer.from(secret, "base64url"), hostName);
      request.log.info({ agent: agent.id }, "an agent was enrolled");
      return {
        agentId: agent.id,
        token,
        siteName: site.identity.siteName,
        siteId: site.identity.siteId,
        scopeSecret: Buffer.from(site.scopeSecret).toString("base64"),
        storeGeneration: site.store.generation,
      };
    } catch (error) {
      if (error instanceof CostorError && error.code === "enrolment-refused") await countFailure(request);
      throw error;
    }
  });

  server.get(paths.checkIn, async (): Promise<CheckInResponse> => {
    return { siteName: site.identity.siteName, storeGeneration: site.store.generation, serverTimeMs: site.now() };
  });

  server.post(paths.sessions, async (request): Promise<OpenSessionResponse> => {
    const session = await site.sessions.start(agentOf(request).id, v.parse(openSessionRequest, request.body));
    return { sessionId: session.id, storeGeneration: site.store.generation, expiresMs: session.expiresMs };
  });

  server.post<IdInPath>(paths.commit(":id"), async (request): Promise<CommitResponse> => {
    const session = parseSessionPath(request.params.id);
    // A large new tree takes its time to walk, without a word on the connection meanwhile.
    request.raw.socket.setTimeout(0);
    return site.sessions.commit(agentOf(request).id, session, v.parse(commitRequest, request.body));
  });

  server.get(paths.snapshots, async (request): Promise<{ snapshots: SnapshotSummary[] }> => {
    const snapshots = await site.snapshots.list(agentOf(request).id);
    return { snapshots: snapshots.map(withCopies) };
  });

  server.get<IdInPath>(paths.snapshot(":id"), async (request): Promise<SnapshotResponse> => {
    return withCopies(await site.snapshots.get(agentOf(request).id, parseSnapshotPath(request.params.id)));
  });
}

/** Throws `snapshot-unknown` for text that is no id, as for an id that never was. */
export function parseSnapshotPath(text: string): SnapshotId {
  try {
    return parseSnapshotId(text);
  } catch (cause) {
    throw new CostorError("snapshot-unknown", "no such snapshot is known here", { cause });
  }
}
