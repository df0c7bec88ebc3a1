/** `costor agent restore`: brings back a snapshot, or parts of it, under a directory. */
import type { OverwriteMode } from "#agent/files/overwrite.ts";
import type { RestoreReport } from "#agent/restore/restore-report.ts";
import { type RestoreInit, runRestore } from "#agent/restore/restore.ts";
import { chooseSnapshot } from "#agent/query/snapshot-tree.ts";
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import { type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { exitCodes } from "#terminal/exit-codes.ts";
import { printJson, printLine, withoutEscapes } from "#terminal/output.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes, formatCount, formatCountOf, formatDuration } from "#terminal/quantities.ts";
import { openAgent } from "./open-agent.ts";
import { pathForJson } from "./presentation.ts";

export interface RestoreOptions {
  /** Everything when empty. */
  readonly paths: readonly ByteString[];
  readonly to: ByteString;
  readonly overwrite: OverwriteMode;
  readonly deleteExtra: boolean;
  readonly deleteFromPartial: boolean;
  readonly isDryRun: boolean;
  readonly verify: boolean;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

export async function restore(init: RestoreOptions & { configFile: string; snapshot: string }): Promise<void> {
  using agent = await openAgent(init.configFile);
  const { config, client } = agent;
  const ids = (await client.snapshots(init.signal)).map(({ id }) => parseSnapshotId(id));
  await restoreFrom({ config, client }, chooseSnapshot(init.snapshot, ids), init);
}

/** Restores from wherever snapshots and primes come, and says what became of it. */
export async function restoreFrom(
  { config, client }: Pick<RestoreInit, "config" | "client">,
  snapshotId: SnapshotId,
  init: RestoreOptions,
): Promise<void> {
  using progress = await createProgress({ title: init.isDryRun ? "Looking" : "Restoring", json: init.json });
  const report = await runRestore({
    config,
    client,
    snapshotId,
    paths: init.paths,
    to: init.to,
    overwrite: init.overwrite,
    deleteExtra: init.deleteExtra,
    deleteFromPartial: init.deleteFromPartial,
    dryRun: init.isDryRun,
    verify: init.verify,
    signal: init.signal,
    onProgress: ({ bytes, expectedBytes, filesCount }) =>
      // What a part of a snapshot holds is not known before it has been walked.
      progress.update({
        doneBytes: bytes,
        ...(init.paths.length === 0 ? { totalBytes: expectedBytes } : {}),
        doneFiles: filesCount,
      }),
  });
  progress.end();
  if (init.json) printJson(reportForJson(report));
  else printReport(report, init);
  process.exitCode = report.failedCount > 0 ? exitCodes.partial : exitCodes.ok;
}

function reportForJson(report: RestoreReport): Record<string, unknown> {
  return {
    ...report,
    failed: report.failed.map(({ path, ...cause }) => ({ ...pathForJson(path), ...cause })),
    notes: report.notes.map(({ path, ...note }) => ({ ...pathForJson(path), ...note })),
  };
}

function printReport(report: RestoreReport, init: RestoreOptions): void {
  const warn = (text: string): void => void process.stderr.write(`${text}\n`);
  const counts = [
    `${formatCountOf(report.restoredCount, "object")} (${formatBytes(report.restoredBytes)})`,
    `${formatCount(report.keptCount)} left as they were`,
    ...(init.deleteExtra ? [`${formatCount(report.deletedCount)} deleted`] : []),
  ];
  const what = init.isDryRun ? "Would be restored" : "Restored";
  printLine(
    `${what} from snapshot ${report.snapshotId} under ${displayName(init.to)}: ${counts.join(", ")}, in ${formatDuration(report.durationMs)}.`,
  );
  for (const { path, message } of report.notes) warn(`note: ${displayName(path)}: ${withoutEscapes(message)}`);
  if (report.notesCount > report.notes.length)
    warn(`note: ${formatCount(report.notesCount - report.notes.length)} more`);
  for (const { path, code, message } of report.failed)
    warn(`not restored: ${displayName(path)}: ${withoutEscapes(message || code)}`);
  if (report.failedCount > report.failed.length)
    warn(`not restored: ${formatCount(report.failedCount - report.failed.length)} more`);
  if (report.failedCount > 0) warn(`${formatCountOf(report.failedCount, "object")} could not be restored.`);
}
