/** `costor site retention approve` and `second-person …`: who has to approve what keeps less. */
import type { Command } from "commander";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type CodeOptions, onCode, readCode, withCode } from "./given-code.ts";
import {
  type ScopeOptions,
  onScope,
  printPreview,
  printState,
  ruleText,
  scopeOf,
  showProgress,
} from "./retention-commands.ts";
import { callOn } from "./site-access.ts";

export function addSecondPersonCommands(retention: Command): void {
  onCode(onScope(retention, "approve", "as the second person, let a change count that keeps less")).action(
    async (options: ScopeOptions & CodeOptions) => {
      const { data, json } = options;
      const scope = scopeOf(options);
      const { policies, alarms } = await callOn(data, "retention", {});
      const next = policies.find(({ agent, job }) => agent === scope.agent && job === scope.job)?.next;
      if (!next?.needsApproval) throw new CostorError("not-found", "no change of this policy waits for approval");
      if (!json) {
        printLine(`To be kept: ${ruleText(next.policy)}`);
        printPreview(await callOn(data, "retentionPreview", { ...scope, policy: next.policy }, showProgress(json)));
        for (const alarm of alarms) printLine(`! ${alarm}`);
      }
      const code = await readCode(options);
      const state = await callOn(data, "retentionApprove", { ...scope, sinceMs: next.sinceMs, code });
      if (json) return printJson(state);
      printState(state);
    },
  );
  const person = retention.command("second-person").description("who has to approve what would keep less");
  onCode(onData(person, "set", "have one, or another one; shows the code this once")).action(
    async (options: DataOptions & CodeOptions) => {
      const { data, json } = options;
      const { words } = await withCode(options, (code) => callOn(data, "secondPersonSet", code));
      if (json) return printJson({ words });
      printLine(words.join(" "));
      process.stderr.write(
        "The second person notes these words, and keeps them where nobody else comes; they are shown this once and kept nowhere here.\n",
      );
    },
  );
  onCode(onData(person, "end", "have none any more"))
    .option("--lost", "without the code: none any more in 45 days, unless somebody takes that back")
    .action(async (options: DataOptions & CodeOptions & { lost?: true }) => {
      const { data, json, lost, code } = options;
      if (lost && code !== undefined) throw new CostorError("bad-usage", "either --code or --lost is given, not both");
      const state = await callOn(data, "secondPersonEnd", lost ? {} : { code: await readCode(options) });
      if (json) return printJson(state);
      printState(state);
    });
  onData(person, "undo", "take back that the code is lost").action(async ({ data, json }: DataOptions) => {
    const state = await callOn(data, "secondPersonUndo", {});
    if (json) return printJson(state);
    printState(state);
  });
}
