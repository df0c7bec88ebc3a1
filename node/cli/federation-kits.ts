/** `costor federation kits`, `approve-kit`: members whose recovery kit is lost, and the say of this site's people. */
import type { Command } from "commander";
import type { AskedKit } from "#node/federation/kit-service.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { ask } from "./question.ts";
import { callOn } from "./site-access.ts";

export function addFederationKits(federation: Command): void {
  onData(federation, "kits", "members whose recovery kit is lost, and who ask the others for a new one").action(
    async ({ data, json }: DataOptions) => {
      const { kits } = await callOn(data, "federationKits", {});
      if (json) return printJson(kits);
      printTable(kits, [
        { title: "SITE", text: ({ site }) => site.slice(0, 16) },
        { title: "NAME", text: ({ name, isThisSite }) => (isThisSite ? `${name} (this site)` : name) },
        { title: "APPROVED", text: approvedText },
        { title: "STATE", text: stateText },
        // Whoever has to hear the words from its people does not read them here.
        { title: "WORDS", text: ({ isThisSite, words }) => (isThisSite ? words.join(" ") : "as its people read them") },
      ]);
    },
  );
  onData(federation, "approve-kit", "let a member have another recovery kit, whose people you have spoken to")
    .argument("[site]", "its id or name, when several ask")
    .option("--words <words>", "the eight words as its people read them, for scripts")
    .option("--cancel", "take an approval back")
    .action(async (site: string | undefined, options: DataOptions & { words?: string; cancel?: true }) => {
      const { data, json, words, cancel } = options;
      const chosen = await chooseKit(data, site);
      const done = cancel
        ? await callOn(data, "federationDisapproveKit", { site: chosen.site })
        : await callOn(data, "federationApproveKit", {
            site: chosen.site,
            words: words ?? (await askWords(chosen.name)),
          });
      if (json) return printJson(done);
      printLine(
        cancel
          ? `Taken back. ${done.name}: ${approvedText(done)} approve.`
          : `Approved: ${approvedText(done)} that are needed. ${done.name}: ${stateText(done)}.`,
      );
    });
}

const approvedText = ({ approvedBy, neededCount, isApprovedHere }: AskedKit): string =>
  `${approvedBy.length} of ${neededCount}${isApprovedHere ? ", this site too" : ""}`;

function stateText({ isObjected, dueMs }: AskedKit): string {
  if (isObjected) return "over: somebody with the former kit has objected";
  return dueMs === undefined
    ? "waits for approvals"
    : `the new kit counts from ${new Date(dueMs).toISOString().slice(0, 10)} on, if nobody objects`;
}

async function chooseKit(data: string, text: string | undefined): Promise<AskedKit> {
  const kits = (await callOn(data, "federationKits", {})).kits.filter(({ isThisSite }) => !isThisSite);
  const fitting = text === undefined ? kits : kits.filter(({ site, name }) => site.startsWith(text) || name === text);
  if (fitting.length === 1) return fitting[0]!;
  if (kits.length === 0) throw new CostorError("member-unknown", "no other member asks for a new kit");
  throw new CostorError(
    "bad-usage",
    `name one of those that ask: ${kits.map(({ name, site }) => `${name} (${site.slice(0, 16)})`).join(", ")}`,
  );
}

const askWords = (name: string): Promise<string> =>
  ask(`Type the eight words that the people of ${name} read to you: `, "give the eight words with --words");
