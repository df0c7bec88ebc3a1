/** `costor federation …`: the site's part in a federation. Every command but `--help` needs a site that runs. */
import type { Command } from "commander";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { readSecretArgument } from "#terminal/secret-argument.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { addFederationLeaving } from "./federation-leaving.ts";
import { addFederationKits } from "./federation-kits.ts";
import { addFederationCheckpoint, addFederationWhatIf } from "./federation-forecast.ts";
import { addFederationRestores } from "./federation-restores.ts";
import { addFederationSettings } from "./federation-settings.ts";
import { addFederationAudit, addFederationSend, addFederationStatus } from "./federation-status.ts";
import { memberAddress } from "./kit-federation.ts";
import { ask } from "./question.ts";
import { callOn } from "./site-access.ts";

export function addFederationCommands(program: Command): Command {
  const federation = program
    .command("federation")
    .description("sites that keep each other's backups: make a federation, join one, see how it is");
  addJoining(federation);
  addMembers(federation);
  addFederationLeaving(federation);
  addFederationKits(federation);
  addFederationStatus(federation);
  addFederationSend(federation);
  addFederationAudit(federation);
  addFederationCheckpoint(federation);
  addFederationWhatIf(federation);
  addFederationRestores(federation);
  addFederationSettings(federation);
  return federation;
}

function addJoining(federation: Command): void {
  onData(federation, "create", "make a federation with this site as its first member")
    .requiredOption("--name <name>", "what the federation is called")
    .action(async ({ data, json, name }: DataOptions & { name: string }) => {
      const made = await callOn(data, "federationCreate", { name });
      if (json) return printJson(made);
      printLine(`The federation ${made.name} exists, with this site in it. Next: costor federation invite --name …`);
    });
  onData(federation, "invite", "make an invitation: one line of text, good for one site")
    .requiredOption("--name <name>", "what the other site is called here")
    .option("--days <n>", "how long it is good", "3")
    .action(async ({ data, json, name, days }: DataOptions & { name: string; days: string }) => {
      const made = await callOn(data, "federationInvite", { name, lifeMs: daysToMs(days) });
      if (json) return printJson(made);
      printLine(made.invitation);
      process.stderr.write(
        `For ${name}, once, until ${new Date(made.expiresMs).toISOString()}. There: costor federation join INVITATION\n` +
          "Then compare the eight words with its people: costor federation confirm\n",
      );
    });
  onData(federation, "join", "join the federation that an invitation is from")
    .argument("<invitation>", "the whole line, or - for standard input: then no list of processes shows it")
    .action(async (given: string, { data, json }: DataOptions) => {
      const invitation = await readSecretArgument(given);
      const joined = await callOn(data, "federationJoin", { invitation }, (progress) => {
        const { words, federationName } = progress as { words: string[]; federationName: string };
        if (json) return printJson({ words, federationName });
        printLine(`Read these eight words to the people who invited you to ${federationName}:`);
        printLine(`  ${words.join(" ")}`);
        process.stderr.write("Waiting until they have confirmed them …\n");
      });
      if (json) return printJson(joined);
      printLine(`This site is in the federation ${joined.name}, as a ${joined.role}.`);
    });
  onData(federation, "newcomers", "sites that used an invitation and wait to be confirmed").action(
    async ({ data, json }: DataOptions) => {
      const { newcomers } = await callOn(data, "federationNewcomers", {});
      if (json) return printJson(newcomers);
      printTable(newcomers, [
        { title: "SITE", text: ({ site }) => site.slice(0, 16) },
        { title: "NAME", text: ({ name }) => name },
        { title: "WORDS", text: ({ words }) => words.join(" ") },
      ]);
    },
  );
  onData(federation, "confirm", "let a newcomer in whose people read the same eight words")
    .argument("[site]", "its id or name, when several wait")
    .option("--words <words>", "the eight words as its people read them, for scripts")
    .action(async (site: string | undefined, { data, json, words }: DataOptions & { words?: string }) => {
      const chosen = await chooseNewcomer(data, site);
      const confirmed = await callOn(data, "federationConfirm", {
        site: chosen.site,
        words: words ?? (await askWords(chosen.name)),
      });
      if (json) return printJson(confirmed);
      printLine(
        `${chosen.name} is in the federation now, as a guest. Next: costor federation admit ${shellWord(chosen.name)}`,
      );
    });
  onData(federation, "refuse", "turn a newcomer away; its invitation is used up")
    .argument("[site]", "its id or name, when several wait")
    .action(async (site: string | undefined, { data, json }: DataOptions) => {
      const chosen = await chooseNewcomer(data, site);
      const refused = await callOn(data, "federationRefuse", { site: chosen.site });
      if (json) return printJson(refused);
      printLine(`${chosen.name} was turned away.`);
    });
}

function addMembers(federation: Command): void {
  onData(federation, "members", "the sites of the federation")
    .option("--addresses", "where each is, as costor site recover --member takes it")
    .action(async ({ data, json, addresses }: DataOptions & { addresses?: true }) => {
      const { members } = await callOn(data, "federationMembers", {});
      if (json) return printJson(members);
      if (addresses)
        return printTable(
          members.filter(({ peer }) => peer !== undefined),
          [
            { title: "NAME", text: ({ name, isThisSite }) => (isThisSite ? `${name} (this site)` : name) },
            {
              title: "ADDRESSES",
              text: (member) => member.addresses.map((address) => memberAddress(address, member.peer!)).join(" "),
            },
          ],
        );
      printTable(members, [
        { title: "SITE", text: ({ site }) => site.slice(0, 16) },
        { title: "NAME", text: ({ name, isThisSite }) => (isThisSite ? `${name} (this site)` : name) },
        { title: "ROLE", text: ({ role }) => role },
        { title: "PLACE", text: ({ place }) => place },
        {
          title: "STATE",
          text: ({ isThisSite, isConnected }) => (isThisSite || isConnected ? "reached" : "not reached"),
        },
        { title: "KIT", text: ({ kitNumber }) => (kitNumber === 1 ? "first" : `number ${kitNumber}`) },
        { title: "WISH", text: ({ wish }) => (wish === undefined ? "" : `to ${wish} it`) },
      ]);
    });
  onData(federation, "admit", "wish that a guest becomes a member; more than half of the members have to")
    .argument("<site>", "its id or name")
    .action(async (site: string, { data, json }: DataOptions) => {
      const wished = await callOn(data, "federationAdmit", { site });
      if (json) return printJson(wished);
      printLine(
        `Noted. ${site} is a member once more than half of the members have wished it: costor federation members`,
      );
    });
  onData(
    federation,
    "expel",
    "wish that a site is expelled; more than half of the members have to; a guest goes at once, at its inviter",
  )
    .argument("<site>", "its id or name")
    .action(async (site: string, { data, json }: DataOptions) => {
      const wished = await callOn(data, "federationExpel", { site });
      if (json) return printJson(wished);
      if (wished.isDone)
        return printLine(
          `${site} was this site's guest, and is out now. What it has here is kept for the lock period. If that was a mistake: costor federation admit ${wished.site.slice(0, 16)}`,
        );
      printLine(
        `Noted. ${site} is expelled once more than half of the members have wished it. What it has here is kept for the lock period.`,
      );
    });
}

const DAY_MS = 24 * 3600 * 1000;

function daysToMs(text: string): number {
  const days = Number(text);
  if (!(days > 0 && days <= 30)) throw new CostorError("bad-usage", `--days ${text}: a number up to 30 is expected`);
  return Math.round(days * DAY_MS);
}

async function chooseNewcomer(data: string, site: string | undefined): Promise<{ site: string; name: string }> {
  const { newcomers } = await callOn(data, "federationNewcomers", {});
  const fitting =
    site === undefined
      ? newcomers
      : newcomers.filter((newcomer) => newcomer.site.startsWith(site) || newcomer.name === site);
  if (fitting.length === 1) return fitting[0]!;
  if (newcomers.length === 0) throw new CostorError("member-unknown", "no site waits to be confirmed");
  throw new CostorError(
    "bad-usage",
    `name one of those that wait: ${newcomers.map(({ name, site: id }) => `${name} (${id.slice(0, 16)})`).join(", ")}`,
  );
}

const askWords = (name: string): Promise<string> =>
  ask(`Type the eight words that the people of ${name} read to you: `, "give the eight words with --words");
