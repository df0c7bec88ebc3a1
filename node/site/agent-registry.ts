/**
 * The agents of this site and their tokens. A token is `<agent id, 32 hex digits>.<32 random bytes, base64url>`; only the
 * SHA-256 of the random part is kept. All agents are in memory: a site has hundreds, not millions.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type AgentId, makeUuidV7, parseAgentId } from "#protocol/ids.ts";
import { SiteChanges } from "./site-changes.ts";
import { type SiteFact, readFactValue } from "./site-facts.ts";

export interface AgentRecord {
  readonly id: AgentId;
  /** The name that a person gave it with the enrolment token. */
  readonly name: string;
  /** What the machine calls itself. */
  readonly hostName: string;
  readonly enrolledMs: number;
  readonly revokedMs?: number;
}

interface StoredAgent extends AgentRecord {
  readonly tokenHash: Uint8Array;
}

const KIND = "agent";
const time = v.pipe(v.number(), v.safeInteger());
const schema = v.strictObject({
  name: v.string(),
  hostName: v.string(),
  enrolledMs: time,
  revokedMs: v.optional(time),
  tokenHash: v.instance(Uint8Array),
});

const TOKEN = /^([0-9a-f]{8})([0-9a-f]{4})(7[0-9a-f]{3})([89ab][0-9a-f]{3})([0-9a-f]{12})\.([A-Za-z0-9_-]{43})$/;
const NO_HASH = Buffer.alloc(32);

const hashOf = (secret: string): Buffer => createHash("sha256").update(secret).digest();

function makeAgent(record: AgentRecord): { readonly token: string; readonly agent: StoredAgent } {
  const secret = randomBytes(32).toString("base64url");
  const token = `${record.id.replaceAll("-", "")}.${secret}`;
  return { token, agent: { ...record, tokenHash: hashOf(secret) } };
}

function factOf(agent: StoredAgent): SiteFact {
  const { id, ...value } = agent;
  return { kind: KIND, key: id, value: encodeCbor(value) };
}

/** The agents that a store tells of. Throws `store-damaged`. */
export async function* readAgents(store: Pick<PrimeStore, "facts">): AsyncGenerator<StoredAgent> {
  for await (const { key, value } of store.facts(KIND))
    yield { id: parseAgentId(key), ...readFactValue(value, schema, KIND) };
}

/** The fact of an agent whose enrolment has ended. Throws `store-damaged` for what is no such fact. */
export function revokedAgent(value: Uint8Array): Uint8Array {
  const agent = readFactValue(value, schema, KIND);
  return encodeCbor({ ...agent, revokedMs: agent.revokedMs ?? agent.enrolledMs });
}

export class AgentRegistry {
  private readonly store: Pick<PrimeStore, "appendFacts">;
  private readonly changes: SiteChanges;
  private readonly agents = new Map<AgentId, StoredAgent>();
  private readonly visitors = new Map<AgentId, StoredAgent>();

  private constructor(store: Pick<PrimeStore, "appendFacts">, changes: SiteChanges) {
    this.store = store;
    this.changes = changes;
  }

  static async open(
    store: Pick<PrimeStore, "appendFacts" | "facts">,
    changes: SiteChanges = new SiteChanges(),
  ): Promise<AgentRegistry> {
    const registry = new AgentRegistry(store, changes);
    for await (const agent of readAgents(store)) registry.agents.set(agent.id, agent);
    return registry;
  }

  /** In the order of their enrolment. */
  list(): AgentRecord[] {
    const agents = [...this.agents.values()].map(({ id, name, hostName, enrolledMs, revokedMs }) => ({
      id,
      name,
      hostName,
      enrolledMs,
      revokedMs,
    }));
    return agents.sort((left, right) => (left.id < right.id ? -1 : 1));
  }

  get activeCount(): number {
    return [...this.agents.values()].filter((agent) => agent.revokedMs === undefined).length;
  }

  /** An agent, new or enrolled anew, that counts once `fact` is durable and {@link admit} was called. */
  prepare(record: AgentRecord): { token: string; fact: SiteFact; admit: () => void } {
    const { token, agent } = makeAgent(record);
    return { token, fact: factOf(agent), admit: () => this.admit(agent) };
  }

  private admit(agent: StoredAgent): void {
    this.agents.set(agent.id, agent);
    this.changes.tell({ kind: KIND, key: agent.id });
  }

  /** An agent for a drill: in memory alone, in no list, and let in until it is disposed of. */
  visit(nowMs: number): { readonly agent: AgentId; readonly token: string } & Disposable {
    const id = parseAgentId(makeUuidV7(nowMs));
    const { token, agent } = makeAgent({ id, name: "", hostName: "", enrolledMs: nowMs });
    this.visitors.set(id, agent);
    return { agent: id, token, [Symbol.dispose]: () => void this.visitors.delete(id) };
  }

  /** The agent that `token` belongs to; undefined for every other text and for a revoked agent. Takes the same time for all. */
  authenticate(token: string): AgentRecord | undefined {
    const parts = TOKEN.exec(token);
    const id = parts?.slice(1, 6).join("-") as AgentId;
    const agent = this.agents.get(id) ?? this.visitors.get(id);
    const matches = timingSafeEqual(hashOf(parts?.[6] ?? ""), agent?.tokenHash ?? NO_HASH);
    return matches && agent?.revokedMs === undefined ? agent : undefined;
  }

  /**
   * An agent as the ledger knows it: of two enrolments the later one counts; of one it is revoked when it is so there or here, and else
   * stays as it is here. Durable when it resolves.
   */
  async regain(id: AgentId, value: Uint8Array): Promise<void> {
    const told: StoredAgent = { id, ...readFactValue(value, schema, KIND) };
    const here = this.agents.get(id);
    const isNewer = here === undefined || told.enrolledMs > here.enrolledMs;
    if (!isNewer && (told.enrolledMs < here.enrolledMs || here.revokedMs !== undefined || told.revokedMs === undefined))
      return;
    const agent: StoredAgent = isNewer ? told : { ...here, revokedMs: told.revokedMs! };
    this.agents.set(id, agent);
    await this.store.appendFacts([factOf(agent)]);
    this.changes.tell({ kind: KIND, key: id });
  }

  /** Ends an agent's access for good; its snapshots stay. Durable when it returns; repeating it changes nothing. Throws `not-found`. */
  async revoke(id: AgentId, nowMs: number): Promise<void> {
    const agent = this.agents.get(id);
    if (!agent) throw new CostorError("not-found", `no agent ${id} is enrolled here`);
    const revoked: StoredAgent = { ...agent, revokedMs: agent.revokedMs ?? nowMs };
    // Refused from now on, even if the disk fails to keep it.
    this.agents.set(id, revoked);
    await this.store.appendFacts([factOf(revoked)]);
    this.changes.tell({ kind: KIND, key: id });
  }
}
