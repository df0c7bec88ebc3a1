/** What `costor agent run` says of a backup and of its schedule: lines for a service's log. */
import type { BackupReport } from "#agent/backup/backup-report.ts";
import type { SchedulerEvent } from "#agent/schedule/scheduler.ts";
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import { withoutEscapes } from "#terminal/output.ts";
import { formatBytes, formatCount, formatCountOf, formatDuration } from "#terminal/quantities.ts";
import { pathForJson } from "./presentation.ts";

export type Log = (event: string, text: string, facts?: Record<string, unknown>) => void;

/** Plain lines of time, event and text, or JSON. */
export function logTo(json: boolean): Log {
  return (event, text, facts = {}) => {
    const time = new Date().toISOString();
    process.stdout.write(
      json ? `${JSON.stringify({ time, event, text, ...facts })}\n` : `${time} ${event}: ${withoutEscapes(text)}\n`,
    );
  };
}

export function logReport(log: Log, report: BackupReport): void {
  const { snapshotId, filesCount, bytes, sentBytes, unreadableCount, changedCount, durationMs } = report;
  const parts = [
    `snapshot ${snapshotId}: ${formatCountOf(filesCount, "file")}, ${formatBytes(bytes)}`,
    `${formatBytes(sentBytes)} sent, in ${formatDuration(durationMs)}`,
  ];
  if (unreadableCount > 0) parts.push(`${formatCountOf(unreadableCount, "object")} could not be read`);
  if (changedCount > 0) parts.push(`${formatCountOf(changedCount, "file")} changed while being read`);
  const facts = { snapshotId, filesCount, bytes, sentBytes, unreadableCount, changedCount, durationMs };
  log("snapshot", parts.join("; "), facts);
  if (report.notRemembered !== undefined) {
    const text = `the snapshot is complete, but this machine could not remember it: ${report.notRemembered}`;
    log("not-remembered", text, { snapshotId });
  }
  const logPath = (event: string, path: ByteString, text: string): void =>
    log(event, `${displayName(path)}: ${text}`, pathForJson(path));
  for (const path of report.changed) logPath("changed", path, "changed while it was read");
  logMore(log, "changed", changedCount - report.changed.length);
  for (const { path, code, message } of report.unreadable) logPath("unreadable", path, message || code);
  logMore(log, "unreadable", unreadableCount - report.unreadable.length);
}

function logMore(log: Log, event: string, count: number): void {
  if (count > 0) log(event, `${formatCount(count)} more`);
}

export function logEvent(log: Log, event: SchedulerEvent): void {
  switch (event.event) {
    case "waiting": {
      const reason = { schedule: "by the schedule", missed: "since one was missed", retry: "to try again" }[
        event.reason
      ];
      return log("waiting", `the next backup starts at ${new Date(event.untilMs).toISOString()}, ${reason}`, {
        untilMs: event.untilMs,
      });
    }
    case "no-more-runs":
      return log("waiting", "the schedule holds no more times");
    case "started":
      return log("started", "a backup starts");
    case "finished":
      return log("finished", `the backup ended after ${formatDuration(event.durationMs)}`, {
        durationMs: event.durationMs,
      });
    case "failed": {
      const { code, message, help } = event.error;
      return log("failed", `${code}: ${message}. ${help}`, { code, willRetry: event.willRetry });
    }
    case "config-ignored":
      return log("config-ignored", `the changed configuration is not used: ${event.error.message}`, {
        code: event.error.code,
      });
    case "history-unsaved":
      return log("history-unsaved", `the time of this backup could not be written down: ${event.error.message}`, {
        code: event.error.code,
      });
    case "stopped":
      return log("stopped", "as asked");
  }
}
