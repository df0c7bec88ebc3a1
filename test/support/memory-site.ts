/**
 * What a backup and a restore need of a site, in memory: it keeps the contract of protocol/http.ts (a commit is refused
 * unless everything reachable is there), counts what passes, and fails or waits where a test says so.
 */
import type { BackupClient } from "#agent/backup/backup.ts";
import type { RestoreClient } from "#agent/restore/restore.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type {
  CommitRequest,
  CommitResponse,
  OpenSessionRequest,
  OpenSessionResponse,
  SnapshotResponse,
} from "#protocol/http.ts";
import { type PrimeId, type SessionId, type SnapshotId, makeUuidV7, parseSnapshotId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { verifyPrime } from "#protocol/sealing.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";

export type SiteCall = "openSession" | "missing" | "sendPrimes" | "commit" | "snapshot" | "readPrimes";

/** Called before a call takes effect: may throw, wait, or change the site. `primes` are those being sent or asked. */
export type CallHook = (call: SiteCall, primes: readonly PrimeId[]) => void | Promise<void>;

export class MemorySite implements BackupClient, RestoreClient {
  readonly primes = new Map<PrimeId, Buffer>();
  /** In the order of their commits. */
  readonly snapshots: CommitRequest[] = [];
  readonly calls: Record<SiteCall, number> = {
    openSession: 0,
    missing: 0,
    sendPrimes: 0,
    commit: 0,
    snapshot: 0,
    readPrimes: 0,
  };
  storeGeneration = "generation 1";
  onCall: CallHook = () => undefined;
  /** Calls of {@link sendPrimes} under way, now and at most. */
  sendingCount = 0;
  sendingMaxCount = 0;
  /**
   * Of all primes that arrived, those the site had already too; without the one of the root itself, which holds the times of
   * the directories above the source too: those of /tmp change with every other test.
   */
  sentPrimesCount = 0;
  sentBytes = 0;
  sentRootsCount = 0;
  private readonly sentBytesOf = new Map<PrimeId, number>();
  /** Primes that arrived although they were there. */
  resentIds: PrimeId[] = [];
  askedIdsCount = 0;
  readPrimesCount = 0;
  private readonly sessions = new Map<string, SessionId>();

  /** Sets the counters back, so that one run can be looked at. */
  forgetCounts(): void {
    for (const call of Object.keys(this.calls) as SiteCall[]) this.calls[call] = 0;
    this.sentPrimesCount = this.sentBytes = this.sentRootsCount = 0;
    this.askedIdsCount = this.readPrimesCount = this.sendingMaxCount = 0;
    this.sentBytesOf.clear();
    this.resentIds = [];
  }

  /** Loses a prime, as damage would; the site notices and changes its generation. */
  lose(...ids: PrimeId[]): void {
    for (const id of ids) this.primes.delete(id);
    this.storeGeneration = `${this.storeGeneration}+`;
  }

  get newestId(): SnapshotId {
    return parseSnapshotId(this.snapshots.at(-1)?.snapshotId);
  }

  async openSession(request: OpenSessionRequest, signal?: AbortSignal): Promise<OpenSessionResponse> {
    await this.pass("openSession", [], signal);
    const sessionId = this.sessions.get(request.snapshotId) ?? (makeUuidV7(Date.now()) as SessionId);
    this.sessions.set(request.snapshotId, sessionId);
    return { sessionId, storeGeneration: this.storeGeneration, expiresMs: Date.now() + 1e9 };
  }

  async missing(sessionId: SessionId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<boolean[]> {
    await this.pass("missing", ids, signal);
    this.checkSession(sessionId);
    this.askedIdsCount += ids.length;
    return ids.map((id) => !this.primes.has(id));
  }

  async sendPrimes(sessionId: SessionId, primes: readonly StoredPrime[], signal?: AbortSignal): Promise<void> {
    this.sendingMaxCount = Math.max(this.sendingMaxCount, ++this.sendingCount);
    try {
      const ids = primes.map((prime) => prime.id);
      await this.pass("sendPrimes", ids, signal);
      this.checkSession(sessionId);
      for (const { id, stored } of primes) {
        verifyPrime(stored, id);
        if (this.primes.has(id)) this.resentIds.push(id);
        this.primes.set(id, Buffer.from(stored));
        this.sentPrimesCount++;
        this.sentBytes += stored.length;
        this.sentBytesOf.set(id, stored.length);
      }
    } finally {
      this.sendingCount--;
    }
  }

  async commit(sessionId: SessionId, request: CommitRequest, signal?: AbortSignal): Promise<CommitResponse> {
    await this.pass("commit", [], signal);
    this.checkSession(sessionId);
    const missing = await this.missingBelow(nodePointerFromWire(request.root));
    if (missing.length > 0) throw new CostorError("commit-incomplete", "primes are missing", { details: { missing } });
    const earlier = this.snapshots.find((snapshot) => snapshot.snapshotId === request.snapshotId);
    if (earlier && JSON.stringify(earlier) !== JSON.stringify(request))
      throw new CostorError("snapshot-exists", "was committed with other contents");
    if (!earlier) this.snapshots.push(request);
    this.countRoot(nodePointerFromWire(request.root));
    return { snapshotId: request.snapshotId, receivedMs: Date.now() };
  }

  private countRoot(root: NodePointer): void {
    const bytes = "slice" in root ? this.sentBytesOf.get(root.slice.prime.id) : undefined;
    if (bytes === undefined) return;
    this.sentPrimesCount--;
    this.sentBytes -= bytes;
    this.sentRootsCount++;
  }

  async snapshot(id: SnapshotId, signal?: AbortSignal): Promise<SnapshotResponse> {
    await this.pass("snapshot", [], signal);
    const found = this.snapshots.find((snapshot) => snapshot.snapshotId === id);
    if (!found) throw new CostorError("snapshot-unknown", `there is no snapshot ${id}`);
    return { ...found, id, receivedMs: found.startedMs };
  }

  async *readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncGenerator<StoredPrime> {
    await this.pass("readPrimes", ids, signal);
    for (const id of ids) {
      this.readPrimesCount++;
      // A copy: whoever reads may hand it on to another thread.
      yield { id, stored: new Uint8Array(this.stored(id)) };
    }
  }

  /** Reads trees without counting. */
  get reader(): TreeReader {
    return new TreeReader({ fetchPrime: async (id) => this.stored(id) });
  }

  /** Of the newest snapshot, or of the one so many before it. */
  root(before = 0): NodePointer {
    return nodePointerFromWire(this.snapshots.at(-1 - before)!.root);
  }

  /** The object at an absolute path (bytes as latin1) of the newest snapshot, or of the one so many before it. */
  async object(path: string, before = 0): Promise<TreeObject | undefined> {
    return this.reader.find(this.root(before), path.split("/").slice(1) as never);
  }

  private stored(id: PrimeId): Buffer {
    const stored = this.primes.get(id);
    if (!stored) throw new CostorError("prime-missing", `prime ${id} is not held`);
    return stored;
  }

  private async pass(call: SiteCall, primes: readonly PrimeId[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.calls[call]++;
    await this.onCall(call, primes);
    signal?.throwIfAborted();
  }

  private checkSession(sessionId: SessionId): void {
    if (![...this.sessions.values()].includes(sessionId)) throw new CostorError("session-unknown", sessionId);
  }

  /** What the tree under `root` names that is not here; what lies below a missing tree prime is not looked for. */
  private async missingBelow(root: NodePointer): Promise<PrimeId[]> {
    const missing = new Set<PrimeId>();
    const note = (error: unknown): void => {
      if (!(error instanceof CostorError && error.code === "prime-missing")) throw error;
      missing.add(/prime (\S+) is/.exec(error.message)![1] as PrimeId);
    };
    const waiting = [root];
    for (let node = waiting.pop(); node; node = waiting.pop()) {
      try {
        for await (const object of this.reader.objects(node)) {
          if (object.type === "directory") waiting.push(object.node);
          if (object.type !== "file") continue;
          for await (const slice of this.reader.content(object.content))
            if (!this.primes.has(slice.prime.id)) missing.add(slice.prime.id);
        }
      } catch (error) {
        note(error);
      }
    }
    return [...missing];
  }
}
