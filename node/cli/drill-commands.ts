/** `costor site drills …`: proofs that what is backed up can be restored. */
import { type Command, Option } from "commander";
import type { DrillResult } from "#node/drills/drill-record.ts";
import type { DrillProgress } from "#node/drills/restore-drill.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes, formatCount, formatCountOf, formatMinute } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";

export function addDrillCommands(site: Command): void {
  const drills = site.command("drills").description("proofs that what is backed up can be restored");
  onData(drills, "list", "what came of them, the newest first").action(async ({ data, json }: DataOptions) => {
    const { drills: results } = await callOn(data, "drills", {});
    if (json) return printJson(results);
    if (results.length === 0)
      return printLine("None was done yet. The first comes by itself within a day of the first snapshot.");
    printTable(results, [
      { title: "DONE (UTC)", text: ({ endedMs }) => formatMinute(endedMs) },
      { title: "FROM", text: ({ kind }) => drillTexts[kind] },
      { title: "WHAT", text: ({ isWhole }) => (isWhole ? "a whole snapshot" : "some files") },
      { title: "FILES", align: "right", text: ({ filesCount }) => formatCount(filesCount) },
      { title: "SIZE", align: "right", text: ({ bytes }) => formatBytes(bytes) },
      {
        title: "RESULT",
        text: ({ failedCount }) => (failedCount === 0 ? "passed" : `FAILED: ${formatCount(failedCount)}`),
      },
    ]);
  });
  onData(drills, "run", "restore some files of a snapshot now, and compare them")
    .option("--offsite", "from the other sites' copies alone")
    .option("--whole", "a whole snapshot")
    .addOption(
      new Option(
        "--across",
        "another site gathers some files from the other sites' copies, this one opens them",
      ).conflicts(["offsite", "whole"]),
    )
    .action(async ({ data, json, offsite, whole, across }: RunOptions) => {
      const kind = across ? "across" : offsite ? "offsite" : "local";
      const drill = { kind, isWhole: whole === true } as const;
      const result = await runDrill(data, json === true, drill);
      if (json) printJson(result);
      else printResult(result);
      if (result.failedCount > 0)
        throw new CostorError(
          "drill-differs",
          `${formatCountOf(result.failedCount, "file")} could not be restored as it was`,
        );
    });
}

interface RunOptions extends DataOptions {
  readonly offsite?: true;
  readonly whole?: true;
  readonly across?: true;
}

/** What each kind restores from. */
export const drillTexts: Readonly<Record<DrillResult["kind"], string>> = {
  local: "this site",
  offsite: "other sites",
  across: "other sites, gathered by another",
};

async function runDrill(
  data: string,
  json: boolean,
  drill: Pick<DrillResult, "kind" | "isWhole">,
): Promise<DrillResult> {
  await using progress = await createProgress({ title: "Restoring", json });
  return callOn(data, "runDrill", drill, (state) => {
    const { bytes, filesCount } = state as DrillProgress;
    progress.update({ doneBytes: bytes, doneFiles: filesCount });
  });
}

function printResult({ kind, gatherer, filesCount, bytes, failures }: DrillResult): void {
  printLine(
    `${formatCountOf(filesCount, "file")}, ${formatBytes(bytes)}, restored from ${drillTexts[kind]} and compared.`,
  );
  if (gatherer !== undefined) printLine(`Site ${gatherer} has gathered it, and has signed the result.`);
  for (const { what, message } of failures) printLine(`  ${what}: ${message}`);
  if (failures.length === 0) printLine("All of it is as it was backed up.");
}
