/**
 * Upload sessions: what an agent opens before it sends primes, and what a commit ends. All open sessions of an agent are one
 * fact, so their number in the store is bounded by the number of agents. A session that expires or makes room for another
 * takes nothing with it: primes are the agent's once they were acknowledged.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type CborValue, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { CommitRequest, CommitResponse, OpenSessionRequest } from "#protocol/http.ts";
import {
  type AgentId,
  type PrimeId,
  type SessionId,
  makeUuidV7,
  parseAgentId,
  parseSessionId,
  parseSnapshotId,
} from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { verifyClosure } from "./closure.ts";
import type { ReceivedClock } from "./received-clock.ts";
import type { SiteChanges } from "./site-changes.ts";
import { SerialQueue } from "./serial-queue.ts";
import { type SiteFact, readFactValue } from "./site-facts.ts";
import type { SnapshotRegistry } from "./snapshot-registry.ts";

const KIND = "sessions";
const time = v.pipe(v.number(), v.safeInteger());
const sessionSchema = v.object({
  id: v.string(),
  snapshot: v.string(),
  job: v.string(),
  openedMs: time,
  expiresMs: time,
});
const schema = v.strictObject({ sessions: v.array(sessionSchema) });
export type UploadSession = v.InferOutput<typeof sessionSchema>;

export interface UploadComponents {
  readonly store: PrimeStore;
  readonly snapshots: SnapshotRegistry;
  readonly clock: ReceivedClock;
  /** Keeps primes for the site itself; durable when it returns. */
  readonly keep: (ids: readonly PrimeId[]) => Promise<void>;
  readonly now: () => number;
  readonly changes?: SiteChanges;
}

export class UploadSessions {
  private readonly components: UploadComponents;
  private readonly byAgent = new Map<AgentId, readonly UploadSession[]>();
  /** Guards the list of open sessions and the order of received times. */
  private readonly queue = new SerialQueue();
  /** The commit that each agent has under way: one, since its walk takes memory. */
  private readonly commits = new Map<AgentId, { readonly key: string; readonly answer: Promise<CommitResponse> }>();

  /** Agents that rely on what they have sent, for each {@link watch}. */
  private readonly watches = new Set<Set<AgentId>>();

  private constructor(components: UploadComponents) {
    this.components = components;
  }

  static async open(components: UploadComponents): Promise<UploadSessions> {
    const sessions = new UploadSessions(components);
    for await (const { key, value } of components.store.facts(KIND)) {
      sessions.byAgent.set(
        parseAgentId(key),
        readFactValue(value, schema, KIND).sessions.map((session) => ({ ...session })),
      );
    }
    return sessions;
  }

  get openCount(): number {
    let count = 0;
    for (const sessions of this.byAgent.values()) count += sessions.length;
    return count;
  }

  /**
   * Agents that have a session, or a commit under way, now or at any time until this is disposed: each may be told of any prime that it has sent
   * that it need not be sent again.
   */
  watch(): { readonly agents: ReadonlySet<AgentId> } & Disposable {
    this.closeFromAhead();
    const agents = new Set([...this.byAgent.keys()].filter((agent) => this.live(agent).length > 0));
    for (const agent of this.commits.keys()) agents.add(agent);
    this.watches.add(agents);
    return { agents, [Symbol.dispose]: () => void this.watches.delete(agents) };
  }

  /** While it runs no session is opened and no commit ends. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.queue.run(work);
  }

  /** Sessions that were opened while the clock was far ahead would else live until then, and all that time nothing of their agents would go. */
  private closeFromAhead(): void {
    const latestMs = this.components.now() + limits.sessionLifeMs;
    for (const [agent, sessions] of this.byAgent)
      this.byAgent.set(
        agent,
        sessions.filter(({ openedMs }) => openedMs <= latestMs),
      );
  }

  private live(agent: AgentId): UploadSession[] {
    const nowMs = this.components.now();
    return (this.byAgent.get(agent) ?? []).filter((session) => session.expiresMs > nowMs);
  }

  private factOf(agent: AgentId, sessions: readonly UploadSession[]): SiteFact {
    return { kind: KIND, key: agent, value: encodeCbor({ sessions: sessions as unknown as CborValue }) };
  }

  /** The session for a snapshot: the same one each time while it lives. The oldest makes room when there are too many. */
  start(agent: AgentId, request: OpenSessionRequest): Promise<UploadSession> {
    return this.queue.run(async () => {
      const session = await this.open(agent, request);
      // Last, and in the same turn: a watch that began meanwhile has not seen it.
      for (const agents of this.watches) agents.add(agent);
      return session;
    });
  }

  private async open(agent: AgentId, request: OpenSessionRequest): Promise<UploadSession> {
    const live = this.live(agent);
    const known = live.find((session) => session.snapshot === request.snapshotId);
    if (known) return known;
    const completed = await this.components.snapshots.completed(agent, parseSnapshotId(request.snapshotId));
    const openedMs = this.components.now();
    const session: UploadSession = {
      id: completed?.session ?? makeUuidV7(openedMs),
      snapshot: request.snapshotId,
      job: request.job,
      openedMs,
      expiresMs: openedMs + limits.sessionLifeMs,
    };
    const sessions = [...live.slice(-(limits.sessionsPerAgentCount - 1)), session];
    await this.components.store.appendFacts([this.factOf(agent, sessions)], "agent");
    this.byAgent.set(agent, sessions);
    return session;
  }

  /** Ends all of the agent's sessions. Durable when it returns. */
  forget(agent: AgentId): Promise<void> {
    return this.queue.run(async () => {
      if (!this.byAgent.has(agent)) return;
      await this.components.store.appendFacts([{ kind: KIND, key: agent, value: undefined }]);
      this.byAgent.delete(agent);
    });
  }

  /** Throws `session-unknown` for a session that ended, never was, or is another agent's. */
  require(agent: AgentId, id: SessionId): UploadSession {
    const session = this.live(agent).find((candidate) => candidate.id === id);
    if (!session) throw new CostorError("session-unknown", `no upload session ${id} is open`);
    return session;
  }

  /** For each id whether this agent has yet to send it. */
  async missing(agent: AgentId, id: SessionId, primes: readonly PrimeId[]): Promise<boolean[]> {
    this.require(agent, id);
    const sent = await this.components.store.hasSent(agent, primes);
    return sent.map((has) => !has);
  }

  /** Keeps a batch (protocol/batch.ts), whose buffer it takes over. Durable when it returns. Throws like the store. */
  async putBatch(agent: AgentId, id: SessionId, batch: Uint8Array): Promise<{ storedCount: number }> {
    this.require(agent, id);
    passFailpoint("upload.received");
    const kept = await this.components.store.putBatch(agent, batch);
    passFailpoint("upload.kept");
    return kept;
  }

  /**
   * Completes a snapshot. Repeating a commit gives the first answer again, at once or while the first still runs.
   * Throws `commit-incomplete`, `tree-invalid`, `snapshot-exists`, `session-unknown`, and `too-many-requests` while another
   * commit of this agent runs.
   */
  async commit(agent: AgentId, id: SessionId, request: CommitRequest): Promise<CommitResponse> {
    const commitHash = createHash("sha256")
      .update(encodeCbor(request as unknown as CborValue))
      .digest();
    const key = `${id} ${commitHash.toString("hex")}`;
    const running = this.commits.get(agent);
    if (running?.key === key) return running.answer;
    if (running) throw new CostorError("too-many-requests", "another commit of this agent is under way");
    const answer = this.complete(agent, id, request, commitHash).finally(() => this.commits.delete(agent));
    this.commits.set(agent, { key, answer });
    return answer;
  }

  private async complete(
    agent: AgentId,
    id: SessionId,
    request: CommitRequest,
    commitHash: Buffer,
  ): Promise<CommitResponse> {
    const { store, snapshots, clock, keep } = this.components;
    const snapshot = parseSnapshotId(request.snapshotId);
    const answered = async (): Promise<CommitResponse | undefined> => {
      const completed = await snapshots.completed(agent, snapshot);
      if (!completed) return undefined;
      if (completed.session === id && commitHash.equals(completed.commitHash))
        return { snapshotId: snapshot, receivedMs: completed.receivedMs };
      throw new CostorError("snapshot-exists", `snapshot ${snapshot} was completed already, with other contents`);
    };
    const before = await answered();
    if (before) return before;
    if (this.require(agent, id).snapshot !== snapshot)
      throw new CostorError("bad-request", "the session was opened for another snapshot");
    await verifyClosure({ store, keep }, agent, nodePointerFromWire(request.root));
    passFailpoint("commit.verified");
    return this.queue.run(async () => {
      const meanwhile = await answered();
      if (meanwhile) return meanwhile;
      const { fact: clockFact, ...received } = clock.receive();
      const { receivedMs } = received;
      const fact = await snapshots.factOf(agent, request, { ...received, session: id, commitHash });
      const sessions = this.live(agent).filter((session) => session.id !== id);
      await store.appendFacts([fact, clockFact, this.factOf(agent, sessions)], "agent");
      passFailpoint("commit.recorded");
      this.components.changes?.tell({ kind: "snapshot", key: fact.key, receivedMs });
      this.byAgent.set(agent, sessions);
      return { snapshotId: snapshot, receivedMs };
    });
  }
}

/** Parses the id of a session in a path. Throws `session-unknown` for text that is no id, as for an id that never was. */
export function parseSessionPath(text: string): SessionId {
  try {
    return parseSessionId(text);
  } catch (cause) {
    throw new CostorError("session-unknown", "no such upload session is open", { cause });
  }
}
