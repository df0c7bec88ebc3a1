/** `costor federation checkpoint` and `what-if`: is everything of before verified elsewhere, and what if sites burn. */
import type { Command } from "commander";
import type { BurntOutcome, WhatIf } from "#ledger/what-if.ts";
import type { NamedWhatIf } from "#node/federation/federation-control.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { formatBytes, formatDuration, formatMinute, formatRate } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";

const TELL_EVERY_MS = 10_000;

export function addFederationCheckpoint(federation: Command): void {
  onData(federation, "checkpoint", "mark now, and tell when everything of before is verified at other sites")
    .option("--wait", "end only when it is")
    .action(async ({ data, json, wait = false }: DataOptions & { wait?: boolean }) => {
      let toldMs = Number.NEGATIVE_INFINITY;
      const made = await callOn(data, "federationCheckpoint", { wait }, (progress) => {
        const { behindBytes } = progress as { behindBytes: number };
        if (json || performance.now() - toldMs < TELL_EVERY_MS) return;
        toldMs = performance.now();
        process.stderr.write(`Waiting: ${formatBytes(behindBytes)} are to be sent\n`);
      });
      if (json) return printJson(made);
      printLine(
        made.reachedMs === undefined
          ? `Marked. Whether everything before ${formatMinute(made.madeMs)} (UTC) is verified elsewhere: costor federation status`
          : `Everything before ${formatMinute(made.madeMs)} (UTC) is held at two other sites, which have proven it.`,
      );
    });
}

export function addFederationWhatIf(federation: Command): void {
  onData(federation, "what-if", "if these sites burn tonight: what comes back, from whom, in how many hours")
    .argument("<site...>", "their ids or names")
    .action(async (sites: string[], { data, json }: DataOptions) => {
      const forecast = await callOn(data, "federationWhatIf", { sites });
      if (json) return printJson(forecast);
      printForecast(forecast);
    });
}

function printForecast({ burnt, left, names }: NamedWhatIf): void {
  const nameOf = (site: keyof typeof names): string => names[site] || site.slice(0, 16);
  for (const outcome of burnt) printBurnt(outcome, nameOf);
  for (const { siteId, bytes, holders } of left)
    printLine(
      `${nameOf(siteId)} loses nothing, and sends ${formatBytes(bytes)} to other sites again, since ${holders.map(nameOf).join(" and ")} had it`,
    );
  if (left.length === 0) printLine("The sites that are left lose nothing, and need send nothing again.");
}

function printBurnt(outcome: BurntOutcome, nameOf: (site: WhatIf["left"][number]["siteId"]) => string): void {
  const { siteId, bytes, lostBytes, snapshots, newestSnapshots, sources, seconds } = outcome;
  const name = nameOf(siteId);
  if (newestSnapshots === 0) return printLine(`${name} has nothing at other sites yet: all that it has would be lost.`);
  printLine(
    snapshots === 0
      ? `${name}: ${formatBytes(lostBytes)} of ${formatBytes(bytes)} would be LOST, and no snapshot comes back whole.`
      : `${name}: everything up to ${formatMinute(snapshots)} (UTC) comes back, ${formatBytes(bytes)}.`,
  );
  for (const source of sources)
    printLine(
      `  from ${nameOf(source.siteId)}: ${formatBytes(source.bytes)}, ${source.bytesPerSecond === undefined ? "over a line that nobody has measured yet" : `at ${formatRate(source.bytesPerSecond)}`}`,
    );
  if (sources.length > 0)
    printLine(
      seconds === undefined
        ? "  How long that takes is not known."
        : `  All of it is there after about ${formatDuration(seconds * 1000)}, and what people need first much sooner.`,
    );
}
