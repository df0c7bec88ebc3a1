/** `costor site kit …`: has the recovery kit been put away? */
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { CostorError } from "#protocol/errors.ts";
import { interruptionSignal } from "#terminal/interruption.ts";
import { printJson, printLine } from "#terminal/output.ts";
import type { KitState } from "#node/control/calls.ts";
import { kitReminder } from "./kit-text.ts";
import { callOn } from "./site-access.ts";

interface KitOptions {
  readonly data: string;
  readonly word?: string[];
  readonly json?: true;
}

export function addKitCommands(site: Command): void {
  const kit = site.command("kit").description("the recovery kit: whether it was put away");
  kit
    .command("status")
    .description("whether the kit was confirmed, and which words confirm it")
    .requiredOption("--data <dir>", "the site's data directory")
    .option("--json", "print JSON")
    .action(async ({ data, json }: KitOptions) => report(data, await callOn(data, "kit", {}), json));
  kit
    .command("confirm")
    .description("type two words of the kit back, so that the site knows that it was put away")
    .requiredOption("--data <dir>", "the site's data directory")
    .option("--word <n=word...>", "the words by their numbers, for scripts (`kit status` tells which)")
    .option("--json", "print JSON")
    .action(async ({ data, word, json }: KitOptions) => {
      const state = await callOn(data, "kit", {});
      const words = word ? parseWords(word) : await askWords(state);
      report(data, await callOn(data, "confirmKit", { words }), json);
    });
}

function report(data: string, state: KitState, json: true | undefined): void {
  if (json)
    return printJson({
      positions: state.positions,
      confirmed: state.confirmedMs !== undefined,
      confirmedMs: state.confirmedMs,
    });
  printLine(
    kitReminder(data, state) ??
      `The recovery kit of ${state.siteName} was confirmed on ${new Date(state.confirmedMs!).toISOString().slice(0, 10)}.`,
  );
}

function parseWords(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const parts = /^(\d{1,2})=([A-Za-z]+)$/.exec(text);
      if (!parts) throw new CostorError("bad-usage", `--word ${text}: NUMBER=WORD is expected, such as 7=anchor`);
      return [String(Number(parts[1])), parts[2]!];
    }),
  );
}

async function askWords({ siteName, positions }: KitState): Promise<Record<string, string>> {
  if (!process.stdin.isTTY) {
    throw new CostorError(
      "bad-usage",
      `words ${positions.join(" and ")} are asked for: --word ${positions[0]}=… --word ${positions[1]}=…`,
    );
  }
  const questions = createInterface({ input: process.stdin, output: process.stderr });
  try {
    process.stderr.write(`From the recovery kit of ${siteName}:\n`);
    const words: Record<string, string> = {};
    for (const position of positions)
      words[position] = await questions.question(`  word ${position}: `, { signal: interruptionSignal() });
    return words;
  } finally {
    questions.close();
  }
}
