/** `costor federation restores`: which other sites have read this one's backups by its recovery kit, and that people here know of it. */
import type { Command } from "commander";
import type { HelpedRestore } from "#node/federation/helped-restores.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { formatBytes, formatMinute } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";

export function addFederationRestores(federation: Command): void {
  onData(federation, "restores", "at which other sites this one's backups were read by its recovery kit")
    .option("--known <ticket...>", "these were some of us: no status warns of them any more")
    .action(async ({ data, json, known: tickets }: DataOptions & { known?: string[] }) => {
      if (tickets !== undefined) {
        const { known } = await callOn(data, "federationRestoresKnown", { tickets });
        if (json) return printJson(known);
        for (const { name, sinceMs } of known)
          printLine(`Noted: the restore at ${name} on ${formatMinute(sinceMs)} (UTC) is known.`);
        return;
      }
      const { restores } = await callOn(data, "federationRestores", {});
      if (json) return printJson(restores);
      if (restores.length === 0) return printLine("No other site has read this one's backups by its recovery kit.");
      printTable(restores, [
        { title: "TICKET", text: ({ ticket }) => ticket.slice(0, 8) },
        { title: "AT", text: ({ name }) => name },
        { title: "FROM (UTC)", text: ({ sinceMs }) => formatMinute(sinceMs) },
        { title: "UNTIL (UTC)", text: ({ untilMs }) => formatMinute(untilMs) },
        { title: "SIZE", align: "right", text: ({ bytes }) => formatBytes(bytes) },
        { title: "STATE", text: stateOf },
      ]);
    });
}

function stateOf({ isKnown, hasPresentKey }: HelpedRestore): string {
  if (isKnown) return "known";
  return hasPresentKey ? "NOT KNOWN" : "before the present kit";
}
