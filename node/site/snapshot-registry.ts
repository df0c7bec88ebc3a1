/**
 * The completed snapshots. A record's root pointer, with the key that opens the tree, is sealed to the site's read key and
 * bound to the site, agent and snapshot. An agent sees its own snapshots only; others' ids look like ids that never were.
 */
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import type { CommitRequest, SnapshotResponse, SnapshotSummary, WireNodePointer } from "#protocol/http.ts";
import { nodePointer } from "#protocol/http.ts";
import {
  type AgentId,
  type SessionId,
  type SnapshotId,
  parseAgentId,
  parseSessionId,
  parseSnapshotId,
} from "#protocol/ids.ts";
import type { Received } from "./received-clock.ts";
import { type SiteFact, readFactValue } from "./site-facts.ts";

const KIND = "snapshot";
const count = v.pipe(v.number(), v.safeInteger());
const expirySchema = v.strictObject({
  cause: v.picklist(["rules", "person"]),
  /** When it was decided, by the machine's clock. */
  sinceMs: count,
  /** When it goes, by the clock that never goes back: node/replication/held-clock.ts. */
  dueHeldMs: count,
});
const schema = v.strictObject({
  job: v.string(),
  roots: v.array(v.instance(Uint8Array)),
  startedMs: count,
  receivedMs: count,
  /** What the machine's clock showed then, when that was less. */
  wallMs: v.optional(count),
  objectsCount: count,
  filesCount: count,
  bytes: count,
  unreadableCount: count,
  sealedRoot: v.instance(Uint8Array),
  /** What people have said of it; left out when it is not so. */
  isPinned: v.optional(v.literal(true)),
  tags: v.optional(v.array(v.string())),
  heldUntilMs: v.optional(count),
  expiry: v.optional(expirySchema),
  /** The session that completed it, and what its commit said: a repeated commit gets the same answer. */
  session: v.pipe(
    v.string(),
    v.transform((text): SessionId => parseSessionId(text)),
  ),
  commitHash: v.instance(Uint8Array),
});
type Stored = v.InferOutput<typeof schema>;

/** A snapshot that has left the list, and can be taken back until it goes. */
export type Expiry = v.InferOutput<typeof expirySchema>;

/** What retention looks at. */
export interface SnapshotRecord {
  readonly agent: AgentId;
  readonly id: SnapshotId;
  readonly job: string;
  readonly startedMs: number;
  readonly receivedMs: number;
  readonly wallMs: number | undefined;
  readonly bytes: number;
  readonly unreadableCount: number;
  readonly isPinned: boolean;
  readonly tags: readonly string[];
  readonly heldUntilMs: number | undefined;
  readonly expiry: Expiry | undefined;
}

/** Undefined leaves it as it is, null takes it away. */
export interface SnapshotChange {
  readonly isPinned?: boolean;
  readonly tags?: readonly string[];
  readonly heldUntilMs?: number | null;
  readonly expiry?: Expiry | null;
}

export interface CompletedSnapshot extends Received {
  readonly session: SessionId;
  readonly commitHash: Uint8Array;
}

/** Seals to the site's read key, and opens; what is sealed for one agent and snapshot opens for no other. */
export interface RootSealer {
  seal(plain: Uint8Array, agent: AgentId, snapshot: SnapshotId): Promise<Uint8Array>;
  open(sealed: Uint8Array, agent: AgentId, snapshot: SnapshotId): Promise<Uint8Array>;
}

export interface SnapshotComponents {
  readonly store: Pick<PrimeStore, "fact" | "facts">;
  readonly sealer: RootSealer;
}

const keyOf = (agent: AgentId, snapshot: SnapshotId): string => `${agent}/${snapshot}`;

export class SnapshotRegistry {
  private readonly components: SnapshotComponents;

  constructor(components: SnapshotComponents) {
    this.components = components;
  }

  /** The fact that makes a snapshot exist once it is durable. */
  async factOf(agent: AgentId, commit: CommitRequest, completed: CompletedSnapshot): Promise<SiteFact> {
    const snapshot = parseSnapshotId(commit.snapshotId);
    const sealedRoot = await this.components.sealer.seal(encodeCbor(commit.root as CborValue), agent, snapshot);
    const { snapshotId: _, root: __, roots, ...facts } = commit;
    const stored = { ...facts, ...completed, roots: roots.map((root) => Buffer.from(root, "base64")), sealedRoot };
    return { kind: KIND, key: keyOf(agent, snapshot), value: encodeCbor(stored) };
  }

  /** A snapshot as the ledger knows it. Throws `store-damaged` for what is none. */
  receivedMsOf(value: Uint8Array): number {
    return readFactValue(value, schema, KIND).receivedMs;
  }

  private async read(agent: AgentId, snapshot: SnapshotId): Promise<Stored | undefined> {
    const value = await this.components.store.fact(KIND, keyOf(agent, snapshot));
    return value === undefined ? undefined : readFactValue(value, schema, KIND);
  }

  /** What is known of how a snapshot was completed; undefined while it was not. */
  completed(agent: AgentId, snapshot: SnapshotId): Promise<CompletedSnapshot | undefined> {
    return this.read(agent, snapshot);
  }

  /** All snapshots of all agents, in byte order of the keys, which are `agent/snapshot`. */
  async *keys(): AsyncGenerator<{ key: string; agent: AgentId; snapshot: SnapshotId }> {
    for await (const { key } of this.components.store.facts(KIND)) {
      const [agent, snapshot] = key.split("/");
      yield { key, agent: parseAgentId(agent), snapshot: parseSnapshotId(snapshot) };
    }
  }

  /** The newest snapshot of each job of each agent, the newest first. */
  async newestOfSeries(): Promise<{ agent: AgentId; snapshot: SnapshotId; receivedMs: number }[]> {
    const newest = new Map<string, { agent: AgentId; snapshot: SnapshotId; receivedMs: number }>();
    for await (const { key, value } of this.components.store.facts(KIND)) {
      const [agent, snapshot] = key.split("/");
      const { job, receivedMs, expiry } = readFactValue(value, schema, KIND);
      if (expiry !== undefined) continue;
      const series = `${agent}/${job}`;
      if ((newest.get(series)?.receivedMs ?? -1) >= receivedMs) continue;
      newest.set(series, { agent: parseAgentId(agent), snapshot: parseSnapshotId(snapshot), receivedMs });
    }
    return [...newest.values()].sort((one, other) => other.receivedMs - one.receivedMs);
  }

  /** All of them, those that have expired too. */
  async *records(): AsyncGenerator<SnapshotRecord> {
    for await (const { key, value } of this.components.store.facts(KIND)) {
      const [agent, snapshot] = key.split("/");
      yield recordOf(parseAgentId(agent), parseSnapshotId(snapshot), readFactValue(value, schema, KIND));
    }
  }

  /** The fact by which a change lasts. Throws `snapshot-unknown`. Who calls sees to it that nothing else changes the snapshot meanwhile. */
  async changeFact(agent: AgentId, snapshot: SnapshotId, change: SnapshotChange): Promise<SiteFact> {
    const { isPinned, tags, heldUntilMs, expiry, ...rest } = await this.require(agent, snapshot);
    const pinned = change.isPinned ?? isPinned ?? false;
    const tagged = change.tags ?? tags ?? [];
    const held = change.heldUntilMs === undefined ? heldUntilMs : (change.heldUntilMs ?? undefined);
    const expired = change.expiry === undefined ? expiry : (change.expiry ?? undefined);
    const value = encodeCbor({
      ...rest,
      ...(pinned && { isPinned: true }),
      ...(tagged.length > 0 && { tags: tagged }),
      ...(held === undefined ? {} : { heldUntilMs: held }),
      ...(expired === undefined ? {} : { expiry: expired }),
    });
    return { kind: KIND, key: keyOf(agent, snapshot), value };
  }

  /** The fact by which a snapshot is no more. */
  goneFact(agent: AgentId, snapshot: SnapshotId): SiteFact {
    return { kind: KIND, key: keyOf(agent, snapshot), value: undefined };
  }

  /** An agent's snapshots, in the order in which the site received them, without those that have expired. */
  async list(agent: AgentId): Promise<SnapshotSummary[]> {
    const snapshots: SnapshotSummary[] = [];
    for await (const { key, value } of this.components.store.facts(KIND, `${agent}/`)) {
      const stored = readFactValue(value, schema, KIND);
      if (stored.expiry === undefined) snapshots.push(summaryOf(parseSnapshotId(key.slice(agent.length + 1)), stored));
    }
    return snapshots.sort((left, right) => left.receivedMs - right.receivedMs);
  }

  /** An agent's snapshot with its root opened. Throws `snapshot-unknown`, for another's snapshot and one that has expired too. */
  async get(agent: AgentId, snapshot: SnapshotId): Promise<SnapshotResponse> {
    const stored = await this.require(agent, snapshot);
    if (stored.expiry !== undefined) throw unknown(snapshot);
    return { ...summaryOf(snapshot, stored), root: await this.openRoot(agent, snapshot, stored) };
  }

  /** Of one that has expired too: what it reaches is here until it goes. Throws `snapshot-unknown`. */
  async root(agent: AgentId, snapshot: SnapshotId): Promise<WireNodePointer> {
    return this.openRoot(agent, snapshot, await this.require(agent, snapshot));
  }

  private async require(agent: AgentId, snapshot: SnapshotId): Promise<Stored> {
    const stored = await this.read(agent, snapshot);
    if (!stored) throw unknown(snapshot);
    return stored;
  }

  private async openRoot(agent: AgentId, snapshot: SnapshotId, { sealedRoot }: Stored): Promise<WireNodePointer> {
    const opened = await this.components.sealer.open(sealedRoot, agent, snapshot);
    const { slice, ...inline } = { ...(decodeCbor(opened) as Record<string, unknown>) };
    return v.parse(nodePointer, slice === undefined ? inline : { slice: { ...(slice as object) } });
  }
}

const unknown = (snapshot: SnapshotId): CostorError =>
  new CostorError("snapshot-unknown", `no snapshot ${snapshot} is known here`);

function recordOf(agent: AgentId, id: SnapshotId, stored: Stored): SnapshotRecord {
  const { job, startedMs, receivedMs, wallMs, bytes, unreadableCount, heldUntilMs, expiry } = stored;
  return {
    ...{ agent, id, job, startedMs, receivedMs, wallMs, bytes, unreadableCount },
    ...{ isPinned: stored.isPinned ?? false, tags: stored.tags ?? [], heldUntilMs, expiry },
  };
}

function summaryOf(id: SnapshotId, stored: Stored): SnapshotSummary {
  const { job, startedMs, receivedMs, objectsCount, filesCount, bytes, unreadableCount } = stored;
  return {
    ...{ id, job, startedMs, receivedMs, objectsCount, filesCount, bytes, unreadableCount },
    roots: stored.roots.map((root) => Buffer.from(root).toString("base64")),
  };
}
