/** `costor agent run`: stays, and backs up by the schedule of the configuration. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Cron } from "croner";
import { runBackup } from "#agent/backup/backup.ts";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import { loadAgentConfig } from "#agent/config/config-file.ts";
import { lockFile } from "#agent/files/file-lock.ts";
import { systemClock } from "#agent/schedule/clock.ts";
import { loadHistory, saveHistory } from "#agent/schedule/run-history.ts";
import { type Plan, runScheduler, type SchedulerEvent } from "#agent/schedule/scheduler.ts";
import { displayName } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { withoutEscapes } from "#terminal/output.ts";
import { formatBytes, formatCountOf, formatDuration } from "#terminal/quantities.ts";
import { clientOf } from "./open-agent.ts";
import { pathForJson } from "./presentation.ts";

export interface RunInit {
  readonly configFile: string;
  /** Log lines as JSON. */
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** Returns when the signal is aborted. Throws `bad-config`, or `agent-busy` when this agent is already being run. */
export async function run(init: RunInit): Promise<void> {
  const log = logTo(init.json);
  const config = await loadAgentConfig(init.configFile);
  for (const warning of config.warnings) log("warning", warning);
  await mkdir(config.databaseDirectory, { recursive: true, mode: 0o700 });
  using _lock = lockFile(join(config.databaseDirectory, "run.lock"));
  const historyFile = join(config.databaseDirectory, "schedule.json");
  await runScheduler(
    {
      clock: systemClock,
      random: Math.random,
      readPlan: async () => planOf(await loadAgentConfig(init.configFile)),
      run: (signal) => backUp(init.configFile, signal, log),
      loadHistory: () => loadHistory(historyFile),
      saveHistory: (history) => saveHistory(historyFile, history),
      log: (event) => logEvent(log, event),
    },
    init.signal,
  );
}

function planOf({ file, schedule }: AgentConfig): Plan {
  if (!schedule) {
    const example = 'schedule:\n  cron: "30 2 * * *"';
    throw new CostorError(
      "bad-config",
      `${file}: schedule.cron is missing, so nothing would ever run. Right is, for example:\n${example}`,
    );
  }
  const cron = new Cron(schedule.cron, { timezone: schedule.timeZone });
  return { nextAfter: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime(), jitterMs: schedule.jitterMs };
}

type Log = (event: string, text: string, facts?: Record<string, unknown>) => void;

async function backUp(configFile: string, signal: AbortSignal, log: Log): Promise<void> {
  const config = await loadAgentConfig(configFile);
  using client = clientOf(config);
  const report = await runBackup({ config, client, paths: [], dryRun: false, signal });
  const { snapshotId, filesCount, bytes, sentBytes, unreadableCount, durationMs } = report;
  const facts = { snapshotId, filesCount, bytes, sentBytes, unreadableCount, durationMs };
  const text = `snapshot ${snapshotId}: ${formatCountOf(filesCount, "file")}, ${formatBytes(bytes)}; ${formatBytes(sentBytes)} sent, in ${formatDuration(durationMs)}`;
  log(
    "snapshot",
    unreadableCount > 0 ? `${text}; ${formatCountOf(unreadableCount, "object")} could not be read` : text,
    facts,
  );
  for (const { path, message } of report.unreadable)
    log("unreadable", `${displayName(path)}: ${message}`, pathForJson(path));
}

/** Plain lines for a service's log: time, event, text. */
function logTo(json: boolean): Log {
  return (event, text, facts = {}) => {
    const time = new Date().toISOString();
    process.stdout.write(
      json ? `${JSON.stringify({ time, event, text, ...facts })}\n` : `${time} ${event}: ${withoutEscapes(text)}\n`,
    );
  };
}

function logEvent(log: Log, event: SchedulerEvent): void {
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
