/** `costor site drills …`: proofs that what is backed up can be restored, and not be deleted. */
import { type Command, Option } from "commander";
import type { CallArguments } from "#node/control/calls.ts";
import type { DrillResult } from "#node/drills/drill-record.ts";
import type { DrillProgress } from "#node/drills/restore-drill.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes, formatCount, formatCountOf, formatMinute } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type KitOptions, addShareOption } from "./kit-input.ts";
import { callOn } from "./site-access.ts";

export function addDrillCommands(site: Command): void {
  const drills = site
    .command("drills")
    .description("proofs that what is backed up can be restored, and not be deleted");
  onData(drills, "list", "what came of them, the newest first").action(async ({ data, json }: DataOptions) => {
    const { drills: results } = await callOn(data, "drills", {});
    if (json) return printJson(results);
    if (results.length === 0)
      return printLine("None was done yet. The first comes by itself within a day of the first snapshot.");
    printTable(results, [
      { title: "DONE (UTC)", text: ({ endedMs }) => formatMinute(endedMs) },
      { title: "FROM", text: ({ kind }) => sourceTexts[kind] },
      { title: "WHAT", text: whatText },
      { title: "TRIED", align: "right", text: ({ filesCount }) => formatCount(filesCount) },
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
    .addOption(
      new Option(
        "--tamper",
        "nothing is restored: what is forbidden is tried, as an agent and at another site, and must be refused",
      ).conflicts(["offsite", "whole", "across"]),
    )
    .action(async ({ data, json, offsite, whole, across, tamper }: RunOptions) => {
      const kind = tamper ? "tamper" : across ? "across" : offsite ? "offsite" : "local";
      const drill = { kind, isWhole: whole === true } as const;
      report(await drilled(data, json, "runDrill", drill), json);
    });
  addKitDrill(drills);
}

function addKitDrill(drills: Command): void {
  const command = onData(drills, "kit", "restore some files with the recovery kit, from the other sites' copies alone");
  command.option("--kit <file>", "the kit's file, or - for standard input; without it the words are asked for");
  addShareOption(command).action(async ({ data, json, ...options }: DataOptions & KitOptions) => {
    const { readGrantOf } = await import("./given-grant.ts");
    report(await drilled(data, json, "runKitDrill", await readGrantOf(data, options)), json);
  });
}

interface RunOptions extends DataOptions {
  readonly offsite?: true;
  readonly whole?: true;
  readonly across?: true;
  readonly tamper?: true;
}

/** What each kind restores from. */
const sourceTexts: Readonly<Record<DrillResult["kind"], string>> = {
  local: "this site",
  offsite: "other sites",
  across: "other sites, gathered by another",
  tamper: "-",
  kit: "other sites, by the kit",
};

function whatText({ kind, isWhole }: DrillResult): string {
  if (kind === "tamper") return "forbidden calls";
  return isWhole ? "a whole snapshot" : "some files";
}

/** As a status names it. */
export const drillTitle = (kind: DrillResult["kind"]): string =>
  kind === "tamper" ? "Tamper drill" : `Restore drill from ${sourceTexts[kind]}`;

async function drilled<Name extends "runDrill" | "runKitDrill">(
  data: string,
  json: true | undefined,
  call: Name,
  args: CallArguments<Name>,
): Promise<DrillResult> {
  const title = "kind" in args && args.kind === "tamper" ? "Trying" : "Restoring";
  await using progress = await createProgress({ title, json: json === true });
  return callOn(data, call, args, (state) => {
    const { bytes, filesCount } = state as DrillProgress;
    progress.update({ doneBytes: bytes, doneFiles: filesCount });
  });
}

/** Throws when it has failed. */
function report(result: DrillResult, json: true | undefined): void {
  if (json) printJson(result);
  else printResult(result);
  if (result.failedCount === 0) return;
  if (result.kind === "tamper")
    throw new CostorError("drill-not-refused", "what is forbidden was not refused as it ought to be");
  throw new CostorError(
    "drill-differs",
    `${formatCountOf(result.failedCount, "file")} could not be restored as it was`,
  );
}

function printResult(result: DrillResult): void {
  const { kind, gatherer, filesCount, bytes, failures } = result;
  if (kind === "tamper") return printTampering(result);
  printLine(
    `${formatCountOf(filesCount, "file")}, ${formatBytes(bytes)}, restored from ${sourceTexts[kind]} and compared.`,
  );
  if (gatherer !== undefined) printLine(`Site ${gatherer} has gathered it, and has signed the result.`);
  for (const { what, message } of failures) printLine(`  ${what}: ${message}`);
  if (failures.length === 0) printLine("All of it is as it was backed up.");
}

function printTampering({ refusals = [], failures }: DrillResult): void {
  for (const { what, code } of refusals) printLine(`  refused (${code}): ${what}`);
  for (const { what, message } of failures) printLine(`  ATTENTION: ${what}: ${message}`);
  if (failures.length === 0) printLine("All of it was refused, and nothing is changed.");
}
