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
import { type Plan, runScheduler } from "#agent/schedule/scheduler.ts";
import { CostorError } from "#protocol/errors.ts";
import { clientOf } from "./open-agent.ts";
import { type Log, logEvent, logReport, logTo } from "./run-log.ts";

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

async function backUp(configFile: string, signal: AbortSignal, log: Log): Promise<void> {
  const config = await loadAgentConfig(configFile);
  using client = clientOf(config);
  const report = await runBackup({ config, client, paths: [], dryRun: false, signal });
  logReport(log, report);
}
