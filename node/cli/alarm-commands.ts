/** `costor site alarms …`: backups that may be the work of ransomware. */
import type { Command } from "commander";
import type { NamedAlarm } from "#node/control/calls.ts";
import type { ChangeFinding } from "#node/site/brake-alarms.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { formatCount, formatMinute } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";

const texts: Readonly<Record<ChangeFinding, string>> = {
  "mass-change": "very many files changed or gone",
  "types-lost": "files have lost their type",
  incompressible: "files have turned into noise",
};

const findingsText = (findings: readonly ChangeFinding[]): string =>
  findings.map((finding) => texts[finding]).join(", ");

const countsText = ({ changedCount, removedCount, addedCount, filesBefore }: NamedAlarm): string =>
  `${formatCount(changedCount)} changed, ${formatCount(removedCount)} gone, ${formatCount(addedCount)} new, of ${formatCount(filesBefore)}`;

export function addAlarmCommands(site: Command): void {
  const alarms = site.command("alarms").description("backups that may be the work of ransomware");
  onData(alarms, "list", "list them, the newest first").action(async ({ data, json }: DataOptions) => {
    const { alarms: list } = await callOn(data, "alarms", {});
    if (json) return printJson(list);
    if (list.length === 0) return printLine("No alarm was ever raised.");
    printTable(list, [
      { title: "RAISED (UTC)", text: ({ raisedMs }) => formatMinute(raisedMs) },
      { title: "MACHINE", text: ({ agentName, agent }) => agentName || agent },
      { title: "SNAPSHOT", text: ({ snapshot }) => snapshot },
      { title: "LAST GOOD", text: ({ before }) => before },
      { title: "WHAT", text: ({ findings }) => findingsText(findings) },
      { title: "FILES", text: countsText },
      {
        title: "SETTLED",
        text: ({ settledMs, note }) => (settledMs === undefined ? "no" : `${formatMinute(settledMs)}: ${note}`),
      },
    ]);
  });
  onData(alarms, "settle", "end an alarm that was looked into")
    .argument("<snapshot>", "the snapshot that it is about, or the beginning of its id")
    .requiredOption("--note <text>", "what it was, for those who look later")
    .action(async (snapshot: string, { data, json, note }: DataOptions & { note: string }) => {
      const settled = await callOn(data, "settleAlarm", { snapshot, note });
      if (json) return printJson(settled);
      printLine(`The alarm about ${settled.snapshot} is settled.`);
    });
}
