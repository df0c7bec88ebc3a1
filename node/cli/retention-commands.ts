/** `costor site retention …` and `costor site gc`: how long snapshots are kept, and the space of what is kept no more. */
import type { Command } from "commander";
import { wallTimeOf } from "#ledger/plan-retention.ts";
import { type RetentionPolicy, type RetentionRule, periods, rulesOf, withinRules } from "#ledger/retention-policy.ts";
import type { CollectionProgress } from "#node/retention/collection.ts";
import type { RetentionPreview, RetentionState } from "#node/retention/retention.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { formatBytes, formatCount, formatCountOf } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";

export interface ScopeOptions extends DataOptions {
  readonly agent?: string;
  readonly job?: string;
}

type RuleOptions = { readonly [Rule in RetentionRule]?: string } & {
  readonly keepAll?: true;
  readonly inherit?: true;
};

/** The command `retention`. */
export function addRetentionCommands(site: Command): Command {
  const retention = site.command("retention").description("how long snapshots are kept");
  onData(retention, "show", "show the rules, and what is to come").action(async ({ data, json }: DataOptions) => {
    const state = await callOn(data, "retention", {});
    if (json) return printJson(state);
    printState(state);
  });
  onRules(retention, "set", "keep by these rules from now on; what would keep less counts after a week").action(
    async (options: ScopeOptions & RuleOptions) => {
      const { data, json } = options;
      const decided = { ...scopeOf(options), policy: policyOf(options) };
      const preview = await callOn(data, "retentionPreview", decided, showProgress(json));
      const state = await callOn(data, "retentionSet", decided);
      if (json) return printJson({ preview: summaryOf(preview), ...state });
      printPreview(preview);
      printState(state);
    },
  );
  onRules(retention, "preview", "tell what would leave with these rules").action(
    async (options: ScopeOptions & RuleOptions) => {
      const { data, json } = options;
      const decided = { ...scopeOf(options), policy: policyOf(options) };
      const preview = await callOn(data, "retentionPreview", decided, showProgress(json));
      if (json) return printJson({ ...summaryOf(preview), snapshots: preview.snapshots });
      printPreview(preview);
      for (const snapshot of preview.snapshots) {
        const { id, agent, job } = snapshot;
        printLine(`  ${id}  ${timeText(wallTimeOf(snapshot))}  agent ${agent}, job ${job}`);
      }
    },
  );
  onScope(retention, "undo", "take back a change that does not count yet").action(async (options: ScopeOptions) => {
    const state = await callOn(options.data, "retentionUndo", scopeOf(options));
    if (options.json) return printJson(state);
    printState(state);
  });
  onData(retention, "confirm-clock", "say that the machine's clock is right, after it has jumped").action(
    async ({ data, json }: DataOptions) => {
      const state = await callOn(data, "confirmClock", {});
      if (json) return printJson(state);
      printState(state);
    },
  );
  onData(site, "gc", "take away what no snapshot reaches any more, as the site does each day by itself")
    .option("--dry-run", "only tell what would go")
    .action(async ({ data, json, dryRun }: DataOptions & { dryRun?: true }) => {
      const report = await callOn(data, "collect", { isDry: dryRun === true }, showProgress(json));
      if (json) return printJson(report);
      const { removedPrimesCount, removedBytes, freedBytes, removedSegmentsCount } = report;
      const what = `${formatCountOf(removedPrimesCount, "prime")}, ${formatBytes(removedBytes)}`;
      if (dryRun) return printLine(`No snapshot reaches ${what}.`);
      printLine(
        `Took ${what}; ${formatBytes(freedBytes)} of the disk are free again (${formatCountOf(removedSegmentsCount, "segment")} removed).`,
      );
    });
  return retention;
}

export const onScope = (parent: Command, name: string, description: string): Command =>
  onData(parent, name, description)
    .option("--agent <id>", "for one machine; without it for the site")
    .option("--job <name>", "for one job of that machine");

function onRules(parent: Command, name: string, description: string): Command {
  const command = onScope(parent, name, description).option("--last <n>", "the newest n snapshots");
  for (const period of periods) command.option(`--${period} <n>`, `the newest of n ${nouns[period]} that have any`);
  command.option("--within <duration>", "all that are younger than that, such as 30d, 6m or 1y, before the newest one");
  for (const period of periods)
    command.option(`--within-${period} <duration>`, `the newest of each of the ${nouns[period]} within that`);
  return command
    .option("--keep-all", "everything, for ever")
    .option("--inherit", "with --agent: as for the site, or for the machine");
}

const nouns = { hourly: "hours", daily: "days", weekly: "weeks", monthly: "months", yearly: "years" } as const;

export function scopeOf({ agent, job }: ScopeOptions): { agent?: string; job?: string } {
  if (job !== undefined && agent === undefined) throw new CostorError("bad-usage", "--job goes with --agent");
  return { ...(agent === undefined ? {} : { agent }), ...(job === undefined ? {} : { job }) };
}

function policyOf(options: RuleOptions): RetentionPolicy | null {
  const policy: { -readonly [Rule in RetentionRule]?: number | string } = {};
  for (const rule of ["last", ...periods] as const) {
    const text = options[rule];
    if (text === undefined) continue;
    const count = Number(text);
    if (!/^\d+$/.test(text)) throw new CostorError("bad-usage", `--${rule}: ${text} is no number`);
    // As in other programs: none by this rule.
    if (count > 0) policy[rule] = count;
  }
  for (const rule of ["within", ...Object.values(withinRules)] as const)
    if (options[rule] !== undefined) policy[rule] = options[rule];
  const isEmpty = Object.keys(policy).length === 0;
  if (Number(!isEmpty) + Number(options.keepAll === true) + Number(options.inherit === true) !== 1)
    throw new CostorError("bad-usage", "give rules, such as --daily 30 --monthly 24, or --keep-all, or --inherit");
  return options.inherit ? null : (policy as RetentionPolicy);
}

const summaryOf = ({ snapshots, bytes }: RetentionPreview) => ({ snapshotsCount: snapshots.length, bytes });

export function printPreview({ snapshots, bytes }: RetentionPreview): void {
  if (snapshots.length === 0) printLine("With these rules no more snapshots leave now than before.");
  else
    printLine(
      `With these rules ${formatCountOf(snapshots.length, "more snapshot")} leave now, which frees ${formatBytes(bytes)}.`,
    );
}

export function ruleText(policy: RetentionPolicy | null): string {
  if (policy === null) return "as for what is wider";
  const rules = rulesOf(policy).map(
    (rule) => `${rule.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)} ${policy[rule]}`,
  );
  return rules.length === 0 ? "everything" : rules.join(", ");
}

export function printState({ policies, secondPerson, paused, alarms, timeZone, last }: RetentionState): void {
  for (const { agent, job, policy, next, comesMs } of policies) {
    const who = agent === undefined ? "The site" : job === undefined ? `Agent ${agent}` : `Agent ${agent}, job ${job}`;
    printLine(`${who} keeps: ${ruleText(policy)}`);
    if (next && comesMs !== undefined) {
      if (next.needsApproval)
        printLine("  waits for the second person, who approves it with costor site retention approve:");
      const scope = `${agent === undefined ? "" : ` --agent ${agent}`}${job === undefined ? "" : ` --job ${shellWord(job)}`}`;
      printLine(
        `  from about ${timeText(comesMs)} on: ${ruleText(next.policy)}; costor site retention undo${scope} takes it back`,
      );
    }
  }
  if (secondPerson) printLine(`A second person approves what keeps less, since ${timeText(secondPerson.sinceMs)}.`);
  printLine(
    `Days are those of ${timeZone}. Nothing expires before 30 days, nor the last complete snapshot of a machine.`,
  );
  if (last) printLine(`Last taken: ${formatCount(last.removedPrimesCount)} primes, ${timeText(last.endedMs)}.`);
  if (paused !== undefined) printLine(`Nothing expires now: ${paused}.`);
  for (const alarm of alarms) printLine(`! ${alarm}`);
}

export const timeText = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace("T", " ");

/** On a terminal, how far it is. */
export function showProgress(json: true | undefined): ((progress: unknown) => void) | undefined {
  if (json || !process.stderr.isTTY) return undefined;
  return (progress) => {
    const { phase, doneCount } = progress as CollectionProgress;
    const text = phase === "walking" ? "snapshots looked through" : "primes taken";
    process.stderr.write(`\r${formatCount(doneCount)} ${text}\x1b[K\r`);
  };
}
