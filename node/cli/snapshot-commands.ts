/** `costor site snapshots` and `costor site snapshot …`: what is kept, by what and until when, and what people say of it. */
import type { Command } from "commander";
import { type KeepReason, wallTimeOf } from "#ledger/plan-retention.ts";
import type { CallArguments } from "#node/control/calls.ts";
import type { KeptSnapshot } from "#node/retention/retention.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { formatBytes, formatCountOf } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type CodeOptions, onCode, withCode } from "./given-code.ts";
import { timeText } from "./retention-commands.ts";
import { callOn } from "./site-access.ts";

export function addSnapshotCommands(site: Command): void {
  onData(site, "snapshots", "list snapshots, and by what and until when each is kept")
    .option("--agent <id>", "of one machine")
    .action(async ({ data, json, agent }: DataOptions & { agent?: string }) => {
      const { snapshots } = await callOn(data, "snapshots", agent === undefined ? {} : { agent });
      if (json) return printJson(snapshots);
      printTable(snapshots, [
        { title: "SNAPSHOT", text: ({ id }) => id },
        { title: "MACHINE", text: ({ agentName, agent: id }) => agentName || id },
        { title: "JOB", text: ({ job }) => job },
        { title: "RECEIVED", text: (snapshot) => timeText(wallTimeOf(snapshot)) },
        { title: "SIZE", align: "right", text: ({ bytes }) => formatBytes(bytes) },
        { title: "KEPT BY", text: keptByText },
        { title: "UNTIL", text: untilText },
      ]);
    });
  const snapshot = site.command("snapshot").description("pin, tag, hold or remove snapshots");
  const onSnapshots = (name: string, description: string): Command =>
    onData(snapshot, name, description).argument("<snapshot...>", "their ids, or beginnings of these");
  /** It may keep less. */
  const onLess = (name: string, description: string): Command => onCode(onSnapshots(name, description));
  const mark = ({ data, ...options }: DataOptions & CodeOptions, marks: CallArguments<"snapshotMark">) =>
    withCode(options, (code) => callOn(data, "snapshotMark", { ...marks, ...code }));
  for (const [name, isPinned, description] of [
    ["pin", true, "keep them until they are unpinned, whatever the rules"],
    ["unpin", false, "keep them by the rules again"],
  ] as const)
    (isPinned ? onSnapshots : onLess)(name, description).action(
      async (snapshots: string[], options: DataOptions & CodeOptions) =>
        done(options, await mark(options, { snapshots, isPinned }), snapshots, isPinned ? "pinned" : "unpinned"),
    );
  onLess("tag", "name them; a tagged one is kept until its tags are taken away")
    .option("--tag <text...>", "all tags that they have from then on")
    .option("--none", "no tags")
    .action(async (snapshots: string[], options: DataOptions & CodeOptions & { tag?: string[]; none?: true }) => {
      if ((options.tag === undefined) === (options.none === undefined))
        throw new CostorError("bad-usage", "give --tag, once or more, or --none");
      const tags = options.tag ?? [];
      const what = tags.length > 0 ? "tagged" : "without tags from now on";
      done(options, await mark(options, { snapshots, tags }), snapshots, what);
    });
  onLess("hold", "keep them until a day, whatever the rules")
    .option("--until <date>", "a day, such as 2027-08-31, to its end")
    .option("--none", "end the hold")
    .action(async (snapshots: string[], options: DataOptions & CodeOptions & { until?: string; none?: true }) => {
      const heldUntilMs = holdOf(options);
      const what = heldUntilMs === null ? "without a hold from now on" : `held until the end of ${options.until}`;
      done(options, await mark(options, { snapshots, heldUntilMs }), snapshots, what);
    });
  onLess("remove", "take them out of the list at once, and for good in a week").action(
    async (snapshots: string[], options: DataOptions & CodeOptions) => {
      const remove = (code: CodeOptions) => callOn(options.data, "snapshotRemove", { snapshots, ...code });
      const result = await withCode(options, remove);
      done(options, result, snapshots, "removed; costor site snapshot restore takes that back within a week");
    },
  );
  onSnapshots("restore", "put back what was removed").action(async (snapshots: string[], options: DataOptions) =>
    done(options, await callOn(options.data, "snapshotRestore", { snapshots }), snapshots, "put back"),
  );
}

function done({ json }: DataOptions, result: object, { length }: readonly string[], what: string): void {
  if (json) printJson(result);
  else printLine(`${formatCountOf(length, "snapshot")} ${what}.`);
}

/** By the machine's clock, as people see days. */
function holdOf({ until, none }: { readonly until?: string; readonly none?: true }): number | null {
  if (none && until === undefined) return null;
  const parts = none ? null : /^(\d{4})-(\d\d)-(\d\d)$/.exec(until ?? "");
  if (parts === null) throw new CostorError("bad-usage", "give --until with a day such as 2027-08-31, or --none");
  const [year, month, day] = parts.slice(1).map(Number) as [number, number, number];
  const end = new Date(year, month - 1, day + 1);
  const last = new Date(year, month - 1, day);
  if (last.getMonth() !== month - 1 || last.getDate() !== day) throw new CostorError("bad-usage", `${until} is no day`);
  if (end.getTime() <= Date.now()) throw new CostorError("bad-usage", `${until} is over; --none ends a hold`);
  return end.getTime();
}

function keptByText({ reasons, expiry }: KeptSnapshot): string {
  if (expiry) return expiry.cause === "person" ? "removed" : "expired";
  return reasons.length === 0 ? "nothing" : reasons.map(({ rule }) => rule).join(", ");
}

function untilText({ reasons, goesMs }: KeptSnapshot): string {
  if (goesMs !== undefined) return `goes about ${timeText(goesMs)}`;
  if (reasons.length === 0) return "the next day's work";
  if (reasons.some(isEndless)) return "no end";
  const untilMs = Math.max(...reasons.map(({ untilMs = 0 }) => untilMs));
  return untilMs === 0 ? "further snapshots come" : timeText(untilMs);
}

const isEndless = ({ rule, untilMs, furtherCount }: KeepReason): boolean =>
  untilMs === undefined && furtherCount === undefined && rule !== "newest" && rule !== "last-complete";
