/** One backup run, from the session's opening to the commit. Who calls: agent/cli and agent/schedule. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type ByteString, byteStringToBytes, displayName } from "#protocol/byte-string.ts";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { CommitRequest, CommitResponse, OpenSessionRequest, OpenSessionResponse } from "#protocol/http.ts";
import {
  type PrimeId,
  type SessionId,
  type SnapshotId,
  makeUuidV7,
  parseSessionId,
  parseSnapshotId,
} from "#protocol/ids.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { deriveScope } from "#protocol/scope.ts";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import { createPathFilter, keepEverything } from "#agent/config/path-filter.ts";
import { AgentDatabase, isDatabaseDamage } from "./agent-database.ts";
import { type BackupProgress, type BackupReport, Findings } from "./backup-report.ts";
import { BundleUse } from "./bundle-use.ts";
import { ContentIndex } from "./content-index.ts";
import { ContentJobs } from "./content-jobs.ts";
import { decodeSlice } from "./content-slices.ts";
import { DeferredWrites } from "./deferred-writes.ts";
import { inodeKeyOf } from "./own-directory.ts";
import { arrangeRoots } from "./roots.ts";
import { rehearseBackup } from "./rehearsal.ts";
import { Scan, type ScanInit } from "./scan.ts";
import { SealPool } from "./seal-pool.ts";
import { TreeSealer } from "./tree-sealer.ts";
import { Uploader } from "./uploader.ts";

/** What a backup needs of the site. All calls retry by themselves. */
export interface BackupClient {
  openSession(request: OpenSessionRequest, signal?: AbortSignal): Promise<OpenSessionResponse>;
  missing(sessionId: SessionId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<boolean[]>;
  sendPrimes(sessionId: SessionId, primes: readonly StoredPrime[], signal?: AbortSignal): Promise<void>;
  commit(sessionId: SessionId, request: CommitRequest, signal?: AbortSignal): Promise<CommitResponse>;
}

export interface BackupInit {
  readonly config: AgentConfig;
  readonly client: BackupClient;
  /** Absolute paths; the configuration's roots when empty. */
  readonly paths: readonly ByteString[];
  /** Only tell what would be read. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BackupProgress) => void;
  /** Milliseconds since 1970: decides what is too young to be trusted as unchanged next time. */
  readonly nowMs?: () => number;
}

/** Below the agent's directory, which also holds caches and locks: a damaged database is removed as a whole. */
const INDEX_DIRECTORY = "index";
const META = { generation: "generation", unfinished: "unfinished", totals: "totals" } as const;
/** Of a database of which it is not known which store it is true of. */
const UNKNOWN_GENERATION = Buffer.from("unknown");
/** File systems' clocks tick up to this coarsely (FAT: 2 s). */
const CLOCK_TICK_NS = 2_000_000_000n;
const PROGRESS_EVERY_MS = 250;
const RECONCILE_COUNT = 4096;

/**
 * Backs up. Throws `agent-busy`, `site-unreachable`, `store-full` …; what could not be read is in the report instead.
 */
export async function runBackup(init: BackupInit): Promise<BackupReport> {
  const directory = join(init.config.databaseDirectory, INDEX_DIRECTORY);
  try {
    return await backUpWith(directory, init);
  } catch (error) {
    // Damage that showed only while it was read, or in the tree that was made of it: it can be done without.
    if (!isDatabaseDamage(error) && !isCostorError(error, "tree-invalid")) throw error;
    await AgentDatabase.remove(directory);
    return await backUpWith(directory, init);
  }
}

async function backUpWith(directory: string, init: BackupInit): Promise<BackupReport> {
  await using database = await AgentDatabase.open(directory);
  try {
    return await backUpOnce(init, database);
  } catch (error) {
    if (isCostorError(error, "snapshot-exists")) {
      // An earlier run was cut off between the site's commit and the note of it here.
      await database.write([AgentDatabase.metaWrite(META.unfinished, undefined)]);
      return await backUpOnce(init, database);
    }
    // The site lost something that this agent relied on: find out what, and send it again.
    if (!isCostorError(error, "commit-incomplete")) throw error;
    await database.write([AgentDatabase.metaWrite(META.generation, UNKNOWN_GENERATION)]);
    return await backUpOnce(init, database);
  }
}

async function backUpOnce(init: BackupInit, database: AgentDatabase): Promise<BackupReport> {
  const { config, nowMs = Date.now } = init;
  const startedMs = nowMs();
  const paths = init.paths.length > 0 ? init.paths : config.roots;
  if (paths.length === 0)
    throw new CostorError("bad-usage", "there is nothing to back up: give a path, or roots in the configuration");
  const { top, roots } = arrangeRoots(paths);
  using aborting = new Aborting(init.signal);
  const filter = createPathFilter(config.include, config.exclude);
  const lastTotals = expected(database);
  const bundles = new BundleUse({ database });
  const scanInit: ScanInit = {
    roots: top,
    filter: filter === keepEverything ? undefined : filter,
    oneFileSystem: config.oneFileSystem,
    racyNs: BigInt(startedMs) * 1_000_000n - CLOCK_TICK_NS,
    ownDirectory: inodeKeyOf(config.databaseDirectory),
    worn: await bundles.worn(lastTotals.expectedBytes ?? 0),
    signal: aborting.signal,
  };
  const progress: BackupProgress = {
    phase: "scanning",
    objectsCount: 0,
    filesCount: 0,
    bytes: 0,
    unchangedBytes: 0,
    readBytes: 0,
    sentBytes: 0,
    ...lastTotals,
  };
  if (init.dryRun) {
    using _ = reportRegularly(init, progress, () => undefined);
    return await rehearseBackup({ database, config, progress }, scanInit);
  }
  return await sendSnapshot(init, { database, bundles, aborting, progress }, { scanInit, roots, startedMs });
}

interface RunComponents {
  readonly database: AgentDatabase;
  readonly bundles: BundleUse;
  readonly aborting: Aborting;
  readonly progress: BackupProgress;
}

async function sendSnapshot(
  init: BackupInit,
  { database, bundles, aborting, progress }: RunComponents,
  { scanInit, roots, startedMs }: { scanInit: ScanInit; roots: readonly ByteString[]; startedMs: number },
): Promise<BackupReport> {
  const { config, client, nowMs = Date.now } = init;
  const { signal } = aborting;
  const session = await openSession(init, database, signal);
  const { sessionId, snapshotId } = session;
  const scope = deriveScope(config.agent.scopeSecret);
  const findings = new Findings();
  const uploads = {
    missing: (ids: readonly PrimeId[], abort?: AbortSignal) => client.missing(sessionId, ids, abort),
    sendPrimes: (primes: readonly StoredPrime[], abort?: AbortSignal) => client.sendPrimes(sessionId, primes, abort),
  };
  const uploader = new Uploader({ client: uploads }, { askFirst: session.askFirst, signal });
  signal.addEventListener("abort", () => uploader.fail(signal.reason), { once: true });
  const writes = new DeferredWrites({ database });
  const trees = new TreeSealer({ scope, uploader }, { formerRootId: database.rootId() });
  await using pool = new SealPool(
    { onFatal: (error) => aborting.abort(error) },
    {
      scopeSecret: config.agent.scopeSecret,
      contentKey: database.contentKey,
      workersCount: config.workersCount || availableParallelism(),
    },
  );
  const index = new ContentIndex({ database }, { worn: scanInit.worn });
  using jobs = new ContentJobs({ pool, index, uploader, writes, trees }, { signal });
  const scan = new Scan({ database, jobs, trees, uploader, writes, bundles, scope, findings, progress }, scanInit);
  using regular = reportRegularly(init, progress, () => {
    progress.readBytes = jobs.readBytes;
    progress.sentBytes = uploader.sentBytes;
  });
  try {
    const { node, totals } = await scan.run();
    const root = trees.sealRoot(node);
    progress.phase = "finishing";
    await uploader.drain();
    progress.phase = "committing";
    failIfNothing(scan.foundRootsCount, findings);
    const request: CommitRequest = {
      snapshotId,
      job: config.job,
      roots: roots.map((path) => byteStringToBytes(path).toString("base64")),
      startedMs,
      ...totals,
      unreadableCount: findings.unreadableCount,
      root: nodePointerToWire(root),
    };
    passFailpoint("commit.sending");
    await client.commit(sessionId, request, signal);
    passFailpoint("commit.acknowledged");
    // From here on the snapshot stands, whatever happens to the memory of it.
    let failure: Error | undefined;
    try {
      await writes.flush(uploader.acknowledged, [
        AgentDatabase.metaWrite(META.totals, encodeCbor([totals.objectsCount, totals.bytes])),
        AgentDatabase.metaWrite(META.unfinished, undefined),
        AgentDatabase.rootWrite(root),
      ]);
      await bundles.sumUp(scanInit.worn.size > 0);
    } catch (error) {
      failure = error as Error;
    }
    regular.report();
    return {
      snapshotId,
      ...totals,
      readFilesCount: scan.readFilesCount,
      readBytes: jobs.readBytes,
      sentBytes: uploader.sentBytes,
      sentPrimesCount: uploader.sentCount,
      ...findings.summary(),
      ...(failure && { notRemembered: failure.message }),
      durationMs: nowMs() - startedMs,
    };
  } catch (error) {
    aborting.abort(error);
    // What was acknowledged need not be sent again.
    await writes.flush(uploader.acknowledged).catch(() => undefined);
    throw error;
  }
}

interface Session {
  readonly sessionId: SessionId;
  readonly snapshotId: SnapshotId;
  /** Whether primes may be there already that the database does not know of. */
  readonly askFirst: boolean;
}

/** Opens the session of the snapshot that an interrupted run was making, or of a new one. */
async function openSession(
  { config, client }: BackupInit,
  database: AgentDatabase,
  signal: AbortSignal,
): Promise<Session> {
  const unfinished = unfinishedSnapshot(database);
  const snapshotId = unfinished ?? parseSnapshotId(makeUuidV7(Date.now()));
  const { sessionId, storeGeneration } = await client.openSession({ job: config.job, snapshotId }, signal);
  const generation = database.meta(META.generation)?.toString();
  const isSameStore = generation === storeGeneration;
  if (generation !== undefined && !isSameStore) await reconcile(database, client, parseSessionId(sessionId), signal);
  // What the database holds from here on is true of this generation, whether or not the run comes to its end.
  await database.write([
    AgentDatabase.metaWrite(META.generation, Buffer.from(storeGeneration)),
    AgentDatabase.metaWrite(META.unfinished, Buffer.from(snapshotId)),
  ]);
  return {
    sessionId: parseSessionId(sessionId),
    snapshotId,
    askFirst: unfinished !== undefined || !isSameStore,
  };
}

function failIfNothing(foundRootsCount: number, findings: Findings): void {
  if (foundRootsCount > 0) return;
  const [first] = findings.unreadable;
  throw new CostorError(
    "file-unreadable",
    `nothing could be read${first ? `: ${displayName(first.path)}: ${first.message}` : ""}`,
  );
}

function reportRegularly(
  init: BackupInit,
  progress: BackupProgress,
  update: () => void,
): Disposable & { report(): void } {
  const report = (): void => {
    update();
    init.onProgress?.(progress);
  };
  const timer = init.onProgress && setInterval(report, PROGRESS_EVERY_MS);
  return { report, [Symbol.dispose]: () => clearInterval(timer) };
}

/** The snapshot that an interrupted run was making; its session goes on. */
function unfinishedSnapshot(database: AgentDatabase): SnapshotId | undefined {
  const text = database.meta(META.unfinished)?.toString();
  return text === undefined ? undefined : parseSnapshotId(text);
}

function expected(database: AgentDatabase): Pick<BackupProgress, "expectedObjectsCount" | "expectedBytes"> {
  const totals = database.meta(META.totals);
  if (!totals) return {};
  const [expectedObjectsCount, expectedBytes] = decodeCbor(totals) as [number, number];
  return { expectedObjectsCount, expectedBytes };
}

/** Asks the site about every known content, forgets what it lacks, and has every file looked at anew. */
async function reconcile(
  database: AgentDatabase,
  client: BackupClient,
  sessionId: SessionId,
  signal?: AbortSignal,
): Promise<void> {
  await database.forgetDirectories();
  let waiting: { contentHash: Buffer; id: PrimeId }[] = [];
  const ask = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const missing = await client.missing(
      sessionId,
      waiting.map((entry) => entry.id),
      signal,
    );
    await database.forgetContents(waiting.filter((_, index) => missing[index]).map((entry) => entry.contentHash));
    waiting = [];
  };
  for await (const { contentHash, slice } of database.allContents()) {
    waiting.push({ contentHash, id: decodeSlice(slice).prime.id });
    if (waiting.length >= RECONCILE_COUNT) await ask();
  }
  await ask();
}

/** Joins the caller's signal with errors from inside the run. */
class Aborting {
  private readonly controller = new AbortController();
  private readonly outer: AbortSignal | undefined;
  private readonly onOuter = (): void =>
    this.controller.abort(new CostorError("interrupted", "the backup was interrupted; what was sent is kept"));

  constructor(outer: AbortSignal | undefined) {
    this.outer = outer;
    if (outer?.aborted) this.onOuter();
    outer?.addEventListener("abort", this.onOuter, { once: true });
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  abort(error: unknown): void {
    this.controller.abort(error);
  }

  [Symbol.dispose](): void {
    this.outer?.removeEventListener("abort", this.onOuter);
  }
}
