/** One restore run, from wherever snapshots and primes come. Who calls: agent/cli, rescue. */
import { availableParallelism } from "node:os";
import { type ByteString, byteStringFromBytes, displayName } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotResponse } from "#protocol/http.ts";
import type { PrimeId, SnapshotId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import type { PlacePolicy } from "#agent/files/attributes.ts";
import type { Directory } from "#agent/files/directory.ts";
import { isOsError } from "#agent/files/os-error.ts";
import type { OverwriteMode } from "#agent/files/overwrite.ts";
import { componentsOf, openOrCreateRoot, openRoot } from "#agent/files/root-path.ts";
import { removeLeftovers } from "#agent/files/temporary-name.ts";
import { Deleting, type ProtectionConfig, createProtection } from "./deleting.ts";
import { rehearseRestore } from "./dry-run.ts";
import { PlacePool } from "./place-pool.ts";
import { PrimeGroups, type PrimeSource } from "./prime-groups.ts";
import { type RestoreProgress, type RestoreReport, RestoreTally } from "./restore-report.ts";
import { RestoreWalk } from "./restore-walk.ts";
import { selectPaths } from "./selection.ts";

export interface RestoreClient extends PrimeSource {
  snapshot(id: SnapshotId, signal?: AbortSignal): Promise<SnapshotResponse>;
}

export interface RestoreInit {
  readonly config: ProtectionConfig & Pick<AgentConfig, "workersCount">;
  readonly client: RestoreClient;
  readonly snapshotId: SnapshotId;
  /** Absolute paths as they were on the machine; everything when empty. */
  readonly paths: readonly ByteString[];
  /** The directory under which the snapshot's absolute paths are restored. */
  readonly to: ByteString;
  readonly overwrite: OverwriteMode;
  readonly deleteExtra: boolean;
  /** Delete also by a snapshot that lacks what could not be read when it was made. */
  readonly deleteFromPartial: boolean;
  readonly dryRun: boolean;
  readonly verify: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

const PROGRESS_EVERY_MS = 250;

/** Restores. Throws `snapshot-unknown`, `path-unknown`, `site-unreachable` …; what could not be placed is in the report. */
export async function runRestore(init: RestoreInit): Promise<RestoreReport> {
  const startedMs = Date.now();
  const { client, signal } = init;
  const snapshot = await client.snapshot(init.snapshotId, signal);
  const node = nodePointerFromWire(snapshot.root);
  const reader = new TreeReader({ fetchPrime: (id) => readPrime(client, id, signal) });
  for (const path of init.paths) {
    if (componentsOf(path).length > 0 && !(await reader.find(node, componentsOf(path)))) {
      throw new CostorError("path-unknown", `the snapshot does not hold ${displayName(path)}`);
    }
  }
  if (init.deleteExtra && !init.deleteFromPartial) refusePartial(snapshot);
  const tally = new RestoreTally();
  const selection = selectPaths(init.paths);
  const roots = snapshot.roots.map((root) => componentsOf(byteStringFromBytes(Buffer.from(root, "base64"))));
  const common = { selection, overwrite: init.overwrite, deletes: init.deleteExtra, roots, signal };
  const policy: PlacePolicy = { owners: "numbers", allowsPrivileges: true, allowsDevices: true };
  const removal = { isRehearsal: init.dryRun, signal };
  const deleting = new Deleting({ tally, protects: createProtection(init.config) }, removal);
  let fetchedBytes = 0;
  if (init.dryRun) {
    await rehearseRestore(
      { reader, tally, deleting },
      { ...common, policy, node, root: openTarget(init.to, openIfThere) },
    );
  } else {
    await using pool = new PlacePool(
      { policy, verify: init.verify },
      init.config.workersCount || availableParallelism(),
    );
    const groups = new PrimeGroups({ source: client, pool }, { signal });
    const progress = {
      objectsCount: 0,
      filesCount: 0,
      bytes: 0,
      expectedObjectsCount: snapshot.objectsCount,
      expectedBytes: snapshot.bytes,
    };
    init.onProgress?.(progress);
    const timer = init.onProgress && setInterval(() => init.onProgress!(progress), PROGRESS_EVERY_MS);
    try {
      using walk = new RestoreWalk(
        { reader, groups, tally, progress, deleting },
        { ...common, policy, verifies: init.verify, root: openTarget(init.to, openAndClean) },
      );
      await walk.run(node);
    } finally {
      clearInterval(timer);
      init.onProgress?.(progress);
    }
    fetchedBytes = groups.fetchedBytes;
  }
  return {
    snapshotId: init.snapshotId,
    restoredCount: tally.restoredCount,
    restoredBytes: tally.restoredBytes,
    keptCount: tally.keptCount,
    deletedCount: tally.deletedCount,
    failedCount: tally.failedCount,
    failed: tally.failed,
    notesCount: tally.notesCount,
    notes: tally.notes,
    fetchedBytes,
    durationMs: Date.now() - startedMs,
  };
}

/** What could not be read is not in the snapshot, and is still there to lose. */
function refusePartial({ unreadableCount }: SnapshotResponse): void {
  if (unreadableCount === 0) return;
  throw new CostorError(
    "restore-refused",
    `the snapshot is partial: what could not be read at the backup (${unreadableCount}) is not in it, and --delete would delete that here; leave --delete out, or delete that too with --delete-from-partial`,
    { details: { unreadableCount } },
  );
}

async function readPrime(client: RestoreClient, id: PrimeId, signal?: AbortSignal): Promise<Uint8Array> {
  for await (const prime of client.readPrimes([id], signal)) return prime.stored;
  throw new CostorError("prime-missing", `the site did not give prime ${id}`);
}

/** Opens the directory to restore into. Throws `restore-refused` when that cannot be. */
function openTarget<Opened>(path: ByteString, open: (path: ByteString) => Opened): Opened {
  try {
    return open(path);
  } catch (error) {
    if (!isOsError(error)) throw error;
    throw new CostorError("restore-refused", `${displayName(path)} cannot be restored into: ${error.message}`, {
      cause: error,
      details: { errno: error.code },
    });
  }
}

function openAndClean(path: ByteString): Directory {
  const directory = openOrCreateRoot(path);
  try {
    removeLeftovers(directory);
    return directory;
  } catch (error) {
    directory.close();
    throw error;
  }
}

function openIfThere(path: ByteString): Directory | undefined {
  try {
    return openRoot(path);
  } catch (error) {
    if (isOsError(error) && error.code === "ENOENT") return undefined;
    throw error;
  }
}
