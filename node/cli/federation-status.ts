/** `costor federation status`: is everything held elsewhere, and if not, what is behind. */
import type { Command } from "commander";
import type { AuditedHolder } from "#node/federation/federation-control.ts";
import type { Checkpoint } from "#node/federation/checkpoints.ts";
import type { FederationStatus } from "#node/federation/federation-status.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { formatBytes, formatCount, formatCountOf, formatMinute } from "#terminal/quantities.ts";
import { drillLines } from "./drill-lines.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";

export function addFederationStatus(federation: Command): void {
  onData(federation, "status", "is everything held at two other sites, and if not, what is behind")
    .option("--slices", "show each slice and its holders")
    .action(async ({ data, json, slices }: DataOptions & { slices?: true }) => {
      const status = await callOn(data, "federationStatus", {});
      if (json) return printJson(status);
      printStatus(status);
      if (slices) printSlices(status);
    });
}

export function addFederationSend(federation: Command): void {
  onData(federation, "send", "send what is new to the other sites now, and not within the hour").action(
    async ({ data, json }: DataOptions) => {
      const done = await callOn(data, "federationSend", {});
      if (json) return printJson(done);
      printLine("Asked for. How far it is: costor federation status");
    },
  );
}

export function addFederationAudit(federation: Command): void {
  onData(federation, "audit", "have each holder prove now that it has what it says, and not in the night").action(
    async ({ data, json }: DataOptions) => {
      const { holders } = await callOn(data, "federationAudit", {});
      if (json) return printJson(holders);
      printTable(holders, [
        { title: "SITE", text: ({ site }) => site.slice(0, 16) },
        { title: "NAME", text: ({ name }) => name },
        { title: "ASKED", text: ({ askedCount }) => formatCount(askedCount) },
        { title: "RIGHT", text: ({ rightCount }) => formatCount(rightCount) },
        { title: "RESULT", text: auditText },
      ]);
    },
  );
}

function auditText({ isReached, askedCount, wrongCount, silentCount }: AuditedHolder): string {
  if (!isReached) return "not reached";
  if (askedCount === 0) return "nothing to ask for yet";
  if (wrongCount > 0) return `FAILED: ${formatCount(wrongCount)} could not be proven; it is replaced`;
  return silentCount > 0 ? `${formatCount(silentCount)} without an answer` : "has all that was asked for";
}

function comingBackText({ count, lackingCount, doneAtMs }: NonNullable<FederationStatus["comesBack"]>): string {
  const until = doneAtMs === undefined ? "" : `, all of it about ${formatMinute(doneAtMs)} (UTC)`;
  return `Coming back from other sites: ${formatCount(count - lackingCount)} of ${formatCountOf(count, "prime")} are here${until}`;
}

function printStatus(status: FederationStatus): void {
  const { snapshots } = status;
  printLine(
    `Federation ${status.name}: ${formatCountOf(status.membersCount, "member")}${status.guestsCount > 0 ? `, ${formatCountOf(status.guestsCount, "guest")}` : ""}; ${formatCountOf(status.connectedCount, "other site")} reached`,
  );
  printLine(`This site: ${status.siteName}, ${status.role}`);
  printLine(
    snapshots.safeCount === snapshots.storedCount
      ? `Snapshots: ${formatCount(snapshots.storedCount)} stored, all safe: each is held at two other sites`
      : `Snapshots: ${formatCount(snapshots.storedCount)} stored, ${formatCount(snapshots.safeCount)} safe (at two other sites), ${formatCount(snapshots.onceCount)} at one or more`,
  );
  if (status.comesBack !== undefined) printLine(comingBackText(status.comesBack));
  if (snapshots.unsafeSinceMs !== undefined)
    printLine(
      `Not safe yet: since ${formatMinute(snapshots.unsafeSinceMs)} (UTC); ${formatBytes(status.behindBytes)} are to be sent${status.doneAtMs === undefined ? "" : `, until about ${formatMinute(status.doneAtMs)}`}`,
    );
  if (status.refusedBy.length > 0)
    printLine(
      `Takes no more for this site: ${status.refusedBy.join(", ")}; there, costor federation settings has --offer and --quota, and other sites can be invited`,
    );
  for (const { slice, holder, sentBytes } of status.sending)
    printLine(`Sending: slice ${slice.toString(16)} to ${holder.slice(0, 16)}, ${formatBytes(sentBytes)} so far`);
  if (status.waiting !== undefined) printLine(`Nothing is sent now: ${status.waiting}`);
  if (status.checkpoint !== undefined) printLine(checkpointText(status.checkpoint));
  if (status.leaving !== undefined)
    printLine(
      `This site leaves, since ${formatMinute(status.leaving.sinceMs)} (UTC): ${formatCountOf(status.leaving.neededBy.length, "other site")} still to place elsewhere what is held here${status.leaving.heldBy === undefined ? "" : `; ${formatCountOf(status.leaving.heldBy.length, "other site")} still to erase its copies`}`,
    );
  for (const line of drillLines(status.drills)) printLine(line);
  const keptBytes = status.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  printLine(
    `Kept for ${formatCountOf(status.kept.length, "other site")}: ${formatBytes(keptBytes)} of ${formatBytes(status.offeredBytes)} offered`,
  );
  for (const { text, sinceMs } of status.alarms) printLine(`ATTENTION, since ${formatMinute(sinceMs)}: ${text}`);
}

const checkpointText = ({ madeMs, reachedMs }: Checkpoint): string =>
  `Checkpoint of ${formatMinute(madeMs)} (UTC): ${reachedMs === undefined ? "not reached yet" : `everything of before was verified elsewhere on ${formatMinute(reachedMs)}`}`;

function printSlices({ slices }: FederationStatus): void {
  printTable(slices, [
    { title: "SLICE", text: ({ slice }) => slice.toString(16) },
    { title: "PRIMES", text: ({ count }) => formatCount(count) },
    { title: "SIZE", text: ({ bytes }) => formatBytes(bytes) },
    {
      title: "STATE",
      text: (slice) => (slice.generation > 0 && slice.safeGeneration === slice.generation ? "safe" : "behind"),
    },
    {
      title: "HOLDERS",
      text: ({ copies }) =>
        copies
          .map(({ holder, reason }) => `${holder.slice(0, 8)}${reason === undefined ? "" : ` (${reason})`}`)
          .join(", "),
    },
  ]);
}
