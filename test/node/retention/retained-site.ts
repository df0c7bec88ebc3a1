/** A site without network whose agents back up small trees, and its retention, by a clock that the test moves. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { HeldClock } from "#node/replication/held-clock.ts";
import { Retention, type RetentionComponents } from "#node/retention/retention.ts";
import type { AgentRecord } from "#node/site/agent-registry.ts";
import { ReceivedClock } from "#node/site/received-clock.ts";
import type { Site } from "#node/site/site.ts";
import { SiteChanges } from "#node/site/site-changes.ts";
import { type RootSealer, SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import { UploadSessions } from "#node/site/upload-sessions.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { isCostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, type SessionId, type SiteId, type SnapshotId, makeUuidV7 } from "#protocol/ids.ts";
import { nodePointerFromWire, nodePointerToWire } from "#protocol/node-pointer.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { sampleSite, wireBatch } from "#test/support/store-samples.ts";
import { TreeMaker } from "#test/support/trees.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const sealer: RootSealer = { seal: async (plain) => plain, open: async (sealed) => sealed };
const maker = new TreeMaker();

interface Tree {
  readonly root: ReturnType<TreeMaker["node"]>;
  readonly primes: readonly StoredPrime[];
}

/** A directory for each name, with a file each whose content the name alone decides: equal names share all primes. */
function treeOf(names: readonly string[]): Tree {
  const from = maker.primes.length;
  const directories = names.map((name) => {
    const content = createHash("sha512").update(name).digest();
    return maker.directory(name, maker.node([maker.file("file", content)]));
  });
  const root = maker.node(directories);
  return { root, primes: maker.primes.slice(from) };
}

export interface RetainedSiteInit {
  /** Its SiteId, when it is one of others too. */
  readonly home?: SiteId;
  readonly store?: PrimeStore;
  readonly clock?: ManualClock;
  readonly rng?: SeededRng;
  readonly doubt?: RetentionComponents["doubt"];
  readonly doClocksAgree?: () => boolean;
  readonly damage?: RetentionComponents["damage"];
  readonly withdraw?: (keys: readonly string[]) => Promise<void>;
}

export interface BackupInit {
  readonly job?: string;
  readonly unreadableCount?: number;
  readonly startedMs?: number;
  /** What the agent believes to have sent before; grows. */
  readonly remembered?: Set<PrimeId>;
}

export class RetainedSite {
  readonly home: SiteId;
  readonly store: PrimeStore;
  readonly clock: ManualClock;
  readonly agents: AgentRecord[];
  /** Those about which an alarm stands. */
  readonly alarmed: AgentId[];
  readonly snapshots: SnapshotRegistry;
  readonly sessions: UploadSessions;
  readonly retention: Retention;
  readonly changes: SiteChanges;
  /** What people were told at once. */
  readonly warnings: string[];
  /** What each snapshot has to give. */
  readonly names = new Map<SnapshotId, readonly string[]>();

  private constructor(parts: Omit<RetainedSite, "names">) {
    const { store, clock, agents, alarmed, snapshots, sessions, retention, changes, warnings } = parts as RetainedSite;
    this.home = parts.home;
    this.alarmed = alarmed;
    this.store = store;
    this.clock = clock;
    this.agents = agents;
    this.snapshots = snapshots;
    this.sessions = sessions;
    this.retention = retention;
    this.changes = changes;
    this.warnings = warnings;
  }

  static async open(init: RetainedSiteInit = {}): Promise<RetainedSite> {
    const {
      home = sampleSite(1),
      store = createMemoryStore(),
      clock = new ManualClock(),
      doubt = async () => undefined,
    } = init;
    const now = () => clock.now();
    const snapshots = new SnapshotRegistry({ store, sealer });
    const received = await ReceivedClock.open(store, now);
    const changes = new SiteChanges();
    const keep = (ids: readonly PrimeId[]): Promise<void> => store.keep(home, ids);
    const sessions = await UploadSessions.open({ store, snapshots, clock: received, keep, now, changes });
    const heldClock = await HeldClock.open({ clock, store });
    const agents: AgentRecord[] = [];
    const alarmed: AgentId[] = [];
    const site = {
      ...{ identity: { siteId: home }, store, snapshots, sessions, changes, now },
      ...{ agents: { list: () => agents }, receivedMs: () => received.floorMs },
      ...{ regainedSnapshots: { isAny: false }, brakeAlarms: { standing: () => alarmed.map((agent) => ({ agent })) } },
    } as unknown as Site;
    const warnings: string[] = [];
    const warn = (sentence: string): void => void warnings.push(sentence);
    const retention = await Retention.open({
      ...{ site, heldClock, rng: init.rng ?? new SeededRng(1), timeZone: () => "Europe/Rome", doubt, warn },
      ...{ withdraw: init.withdraw, doClocksAgree: init.doClocksAgree },
      ...(init.damage && { damage: init.damage }),
    });
    return new RetainedSite({
      home,
      store,
      clock,
      agents,
      alarmed,
      snapshots,
      sessions,
      retention,
      changes,
      warnings,
    } as RetainedSite);
  }

  enrol(name = "machine"): AgentId {
    const id = makeUuidV7(this.clock.now()) as AgentId;
    this.agents.push({ id, name, hostName: name, enrolledMs: this.clock.now() });
    return id;
  }

  /** As an agent does: what it remembers it does not send, until the site says that it lacks it. */
  async backUp(agent: AgentId, names: readonly string[], init: BackupInit = {}): Promise<SnapshotId> {
    const { job = "all", unreadableCount = 0, startedMs = this.clock.now(), remembered = new Set<PrimeId>() } = init;
    const { root, primes } = treeOf(names);
    const snapshotId = makeUuidV7(this.clock.now()) as SnapshotId;
    const session = await this.sessions.start(agent, { job, snapshotId });
    const id = session.id as SessionId;
    const roots = [Buffer.from("/home").toString("base64")];
    const counts = {
      objectsCount: names.length * 2,
      filesCount: names.length,
      bytes: names.length * 64,
      unreadableCount,
    };
    const request = { snapshotId, job, roots, startedMs, ...counts, root: nodePointerToWire(root) };
    for (;;) {
      const wanted = primes.filter((prime) => !remembered.has(prime.id));
      const missing = await this.sessions.missing(
        agent,
        id,
        wanted.map((prime) => prime.id),
      );
      const sent = wanted.filter((_, at) => missing[at]);
      if (sent.length > 0) await this.sessions.putBatch(agent, id, wireBatch(sent));
      for (const prime of wanted) remembered.add(prime.id);
      try {
        await this.sessions.commit(agent, id, request);
        this.names.set(snapshotId, names);
        return snapshotId;
      } catch (error) {
        if (!isCostorError(error, "commit-incomplete")) throw error;
        remembered.clear();
      }
    }
  }

  /** Lets days pass, in which the site runs and does its daily work. */
  async days(count: number, each: (day: number) => Promise<unknown> = async () => undefined): Promise<void> {
    for (let day = 0; day < count; day++) {
      await each(day);
      this.clock.pass(DAY_MS);
      await this.retention.turn();
    }
  }

  /** That every snapshot which exists can be read as it was, and all that it reaches is kept for the site. */
  async verify(): Promise<void> {
    const reader = new TreeReader({ fetchPrime: (id) => this.store.get(id) });
    for await (const { agent, id } of this.snapshots.records()) {
      const root = nodePointerFromWire(await this.snapshots.root(agent, id));
      const found: string[] = [];
      const reached: PrimeId[] = "slice" in root ? [root.slice.prime.id] : [];
      for await (const directory of reader.objects(root)) {
        assert.ok(directory.type === "directory" && "slice" in directory.node);
        found.push(directory.name);
        reached.push(directory.node.slice.prime.id);
        for await (const file of reader.objects(directory.node)) {
          assert.ok(file.type === "file" && "slices" in file.content);
          for (const { prime } of file.content.slices) {
            await this.store.get(prime.id);
            reached.push(prime.id);
          }
        }
      }
      assert.deepEqual(new Set(found), new Set(this.names.get(id)));
      assert.ok(!(await this.store.hasKept(this.home, reached)).includes(false), `all of ${id} is kept`);
    }
  }

  async primesCount(): Promise<number> {
    return (await this.store.stats()).primesCount;
  }

  /** In the agent's list. */
  async listed(agent: AgentId): Promise<string[]> {
    return (await this.snapshots.list(agent)).map(({ id }) => id);
  }
}

/** A site that has run for longer than anything is young, and an agent with a backup a day since. */
export async function aged(daysCount = 60): Promise<{ site: RetainedSite; agent: AgentId; ids: SnapshotId[] }> {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  await site.retention.decide({}, { daily: 1 });
  const ids: SnapshotId[] = [];
  await site.days(daysCount, async (day) => ids.push(await site.backUp(agent, ["always", `day ${day}`])));
  return { site, agent, ids };
}
