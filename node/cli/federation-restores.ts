/** `costor federation restores`: which other sites have read this one's backups by its recovery kit, and that people here know of it. */
import type { Command } from "commander";
import type { HelpedRestore } from "#node/federation/helped-restores.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { formatBytes, formatMinute } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";

export function addFederationRestores(federation: Command): void {
  onData(federation, "restores", "at which other sites this one's backups were read by its recovery kit")
    .option("--known <ticket>", "that was one of us: no status warns of it any more")
    .action(async ({ data, json, known }: DataOptions & { known?: string }) => {
      if (known !== undefined) {
        const settled = await callOn(data, "federationRestoreKnown", { ticket: known });
        if (json) return printJson(settled);
        return printLine(`Noted: the restore at ${settled.name} on ${formatMinute(settled.sinceMs)} (UTC) is known.`);
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
