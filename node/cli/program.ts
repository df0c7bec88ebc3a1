/** `costor site …`: the commands that run a site and look after it. What they need is imported when they run. */
import type { Command } from "commander";
import type { CheckFinding, CheckProgress } from "#node/store/prime-store.ts";
import { byteStringFromText, displayName } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { formatPrimeCid } from "#protocol/ids.ts";
import { exitCodes } from "#terminal/exit-codes.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes, formatCount, formatCountOf } from "#terminal/quantities.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { addAlarmCommands } from "./alarm-commands.ts";
import { addDrillCommands } from "./drill-commands.ts";
import { drillLines } from "./drill-lines.ts";
import { addKitCommands } from "./kit-commands.ts";
import { kitReminderOnce } from "./kit-text.ts";
import { addRetentionCommands } from "./retention-commands.ts";
import { addScrubCommand, scrubLines } from "./scrub-command.ts";
import { callOn } from "./site-access.ts";
import { addRecoverCommands } from "./recover.ts";
import { addSecondPersonCommands } from "./second-person-commands.ts";
import { addSnapshotCommands } from "./snapshot-commands.ts";
import { addStartCommand } from "./start.ts";

export function addSiteCommands(program: Command): Command {
  const site = program.command("site").description("run and look after a site");
  addStartCommand(site);
  addRecoverCommands(site);
  addEnrolCommands(site);
  addKitCommands(site);
  addStoreCommands(site);
  addAlarmCommands(site);
  addDrillCommands(site);
  addSecondPersonCommands(addRetentionCommands(site));
  addSnapshotCommands(site);
  return site;
}

interface EnrolOptions {
  readonly name?: string;
  readonly address?: string[];
  readonly replace?: string;
}

function addEnrolCommands(site: Command): void {
  onData(site, "enrol-token", "make a token that enrols one machine within a day")
    .option("--name <name>", "what the machine will be called at the site")
    .option(
      "--replace <agent>",
      "for a machine that was set up anew: the id or name that it had; it gets its snapshots back",
    )
    .option("--address <host:port...>", "where the machine finds the site, when that is not where it listens")
    .action(async ({ data, json, name, address, replace }: DataOptions & EnrolOptions) => {
      const made = await callOn(data, "enrolToken", {
        ...(name === undefined ? {} : { name }),
        ...(address ? { addresses: address } : {}),
        ...(replace === undefined ? {} : { replaces: replace }),
      });
      if (json) return printJson(made);
      printLine(made.token);
      process.stderr.write(
        `For one machine, until ${new Date(made.expiresMs).toISOString()}. On it: costor agent enrol TOKEN --config FILE\n`,
      );
    });
  const agents = site.command("agents").description("the machines that back up here");
  onData(agents, "list", "list them").action(async ({ data, json }: DataOptions) => {
    const { agents: list } = await callOn(data, "agents", {});
    if (json) return printJson(list);
    printTable(list, [
      { title: "AGENT", text: (agent) => agent.id },
      { title: "NAME", text: (agent) => agent.name },
      { title: "HOST", text: (agent) => displayName(byteStringFromText(agent.hostName)) },
      { title: "ENROLLED", text: (agent) => new Date(agent.enrolledMs).toISOString().slice(0, 10) },
      { title: "STATE", text: (agent) => (agent.revokedMs === undefined ? "active" : "revoked") },
    ]);
  });
  onData(agents, "revoke", "end a machine's access for good; its snapshots stay")
    .argument("<agent>", "its id or name")
    .action(async (agent: string, { data, json }: DataOptions) => {
      const done = await callOn(data, "revoke", { agent });
      if (json) return printJson(done);
      printLine(`${agent} has no access any more.`);
    });
}

function addStoreCommands(site: Command): void {
  onData(site, "stats", "what the site holds").action(async ({ data, json }: DataOptions) => {
    const stats = await callOn(data, "stats", {});
    if (json) return printJson(stats);
    const { store } = stats;
    printLine(`Site ${stats.siteName} (${stats.siteId})`);
    printLine(`Agents: ${stats.agentsCount}, open upload sessions: ${stats.openSessionsCount}`);
    printLine(
      `Primes: ${formatCount(store.primesCount)}, ${formatBytes(store.primesBytes)} in ${formatCountOf(store.segmentsCount, "segment")}; index ${formatBytes(store.indexBytes)}`,
    );
    printLine(`Free: ${formatBytes(store.freeBytes)}, of which ${formatBytes(store.reserveBytes)} are kept in reserve`);
    if (store.quarantinedCount > 0)
      printLine(`Damaged stretches: ${store.quarantinedCount}; run costor site check --data ${shellWord(data)}`);
    if (stats.lostPrimesCount > 0)
      printLine(`Missing of this site's own data: ${formatCountOf(stats.lostPrimesCount, "prime")}, not back yet`);
    for (const line of scrubLines(stats.scrub)) printLine(line);
    for (const line of drillLines(stats.drills)) printLine(line);
    if (stats.standingAlarmsCount > 0)
      printLine(
        `ATTENTION: ${formatCountOf(stats.standingAlarmsCount, "backup")} may be the work of ransomware; costor site alarms list --data ${shellWord(data)}`,
      );
    const reminder = await kitReminderOnce(data, callOn(data, "kit", {}));
    if (reminder) printLine(reminder);
  });
  onData(site, "check", "verify the store, and with --read-data every prime in it")
    .option("--read-data", "read and verify every prime")
    .action(async ({ data, json, readData }: DataOptions & { readData?: true }) =>
      check(data, json === true, readData === true),
    );
  addScrubCommand(site);
  onData(site, "rebuild-index", "make the index anew from the segments").action(async ({ data, json }: DataOptions) => {
    const done = await callOn(data, "rebuildIndex", {});
    if (json) return printJson(done);
    printLine("The index was made anew.");
  });
}

function printFinding({ file, offset, message, id }: CheckFinding): void {
  printLine(`${file}, byte ${offset}: ${message}${id === undefined ? "" : ` (prime ${formatPrimeCid(id)})`}`);
}

async function check(data: string, json: boolean, readData: boolean): Promise<void> {
  using progress = await createProgress({ title: "Checking", json });
  const report = await callOn(data, "check", { readData }, (state) => progress.update(state as CheckProgress));
  progress.end();
  if (json) printJson(report);
  else {
    printLine(
      `${formatCountOf(report.recordsCount, "record")} in ${formatCountOf(report.segmentsCount, "segment")}, ${formatCountOf(report.primesCount, "prime")}; ${readData ? `${formatCount(report.verifiedPrimesCount)} of them read and verified` : "what is in them was not read (--read-data reads it)"}.`,
    );
    for (const finding of report.findings) printFinding(finding);
  }
  if (report.quarantined.length > 0) {
    throw new CostorError(
      "store-damaged",
      `${report.quarantined.length} damaged stretches of the store are not healed`,
    );
  }
  if (!json) printLine("No damage.");
  process.exitCode = exitCodes.ok;
}
