/** `costor agent backup`: one snapshot, and what there is to say about it. */
import { runBackup } from "#agent/backup/backup.ts";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import { exitCodes } from "#terminal/exit-codes.ts";
import { printJson, printLine, withoutEscapes } from "#terminal/output.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes, formatCount, formatCountOf, formatDuration } from "#terminal/quantities.ts";
import { openAgent } from "./open-agent.ts";
import { pathForJson } from "./presentation.ts";

export interface BackupCommandInit {
  readonly configFile: string;
  readonly paths: readonly ByteString[];
  readonly isDryRun: boolean;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

export async function backUp(init: BackupCommandInit): Promise<void> {
  using agent = await openAgent(init.configFile);
  using progress = await createProgress({ title: init.isDryRun ? "Looking" : "Backing up", json: init.json });
  const report = await runBackup({
    config: agent.config,
    client: agent.client,
    paths: init.paths,
    dryRun: init.isDryRun,
    signal: init.signal,
    onProgress: ({ bytes, unchangedBytes, readBytes, expectedBytes, filesCount }) =>
      progress.update({
        doneBytes: unchangedBytes + readBytes,
        ...(expectedBytes === undefined ? {} : { totalBytes: Math.max(expectedBytes, bytes) }),
        doneFiles: filesCount,
      }),
  });
  progress.end();
  if (init.json) printJson(reportForJson(report));
  else printReport(report, init.isDryRun);
  process.exitCode = report.unreadableCount > 0 ? exitCodes.partial : exitCodes.ok;
}

function reportForJson(report: BackupReport): Record<string, unknown> {
  return {
    ...report,
    isPartial: report.unreadableCount > 0,
    unreadable: report.unreadable.map(({ path, ...cause }) => ({ ...pathForJson(path), ...cause })),
    changed: report.changed.map(pathForJson),
  };
}

function printReport(report: BackupReport, isDryRun: boolean): void {
  const held = `${formatCountOf(report.filesCount, "file")}, ${formatBytes(report.bytes)}`;
  const read = `${formatCount(report.readFilesCount)} new or changed (${formatBytes(report.readBytes)})`;
  const time = formatDuration(report.durationMs);
  if (isDryRun) printLine(`A backup would hold ${held}; ${read}. Nothing was sent. Looking took ${time}.`);
  else printLine(`Snapshot ${report.snapshotId}: ${held}; ${read}; ${formatBytes(report.sentBytes)} sent, in ${time}.`);
  const warn = (text: string): void => void process.stderr.write(`${text}\n`);
  if (report.notRemembered !== undefined)
    warn(`The snapshot is complete, but this machine could not remember it: ${withoutEscapes(report.notRemembered)}`);
  if (report.skippedSocketsCount > 0)
    warn(`${formatCountOf(report.skippedSocketsCount, "socket")} left out: sockets hold nothing.`);
  for (const path of report.changed) warn(`changed while it was read: ${displayName(path)}`);
  warnMore("changed while they were read", report.changedCount - report.changed.length, warn);
  for (const { path, code, message } of report.unreadable)
    warn(`not read: ${displayName(path)}: ${withoutEscapes(message || code)}`);
  warnMore("not read", report.unreadableCount - report.unreadable.length, warn);
  if (report.unreadableCount > 0)
    warn(`The snapshot is partial: ${formatCountOf(report.unreadableCount, "object")} could not be read.`);
}

function warnMore(what: string, count: number, warn: (text: string) => void): void {
  if (count > 0) warn(`${what}: ${formatCount(count)} more`);
}
