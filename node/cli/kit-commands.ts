/** `costor site kit …`: is the recovery kit put away, and is it right? */
import type { Command } from "commander";
import { CostorError } from "#protocol/errors.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { findWord } from "#protocol/kit-words.ts";
import { signKitObjection } from "#protocol/kit-objection.ts";
import { deriveRecoveryKey, fingerprintOf } from "#protocol/keys.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { formatCountOf } from "#terminal/quantities.ts";
import type { KitState } from "#node/control/calls.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type KitOptions, addKitOptions, readGivenKit } from "./kit-input.ts";
import { requireKitOrAskedFor, writeSecret } from "./kit-secrets.ts";
import { addReplaceCommand } from "./kit-replace.ts";
import { addShareCommands } from "./kit-share-commands.ts";
import { kitReminder } from "./kit-text.ts";
import { openQuestions } from "./question.ts";
import { callOn } from "./site-access.ts";

export function addKitCommands(site: Command): void {
  const kit = site.command("kit").description("the recovery kit: whether it was put away, and whether it is right");
  onData(kit, "status", "whether the kit was confirmed, and which words confirm it").action(
    async ({ data, json }: DataOptions) => report(data, await callOn(data, "kit", {}), json),
  );
  onData(kit, "confirm", "type two words of the kit back, so that the site knows that it was put away")
    .option("--word <n=word...>", "the words by their numbers, for scripts (`kit status` tells which)")
    .action(async ({ data, word, json }: DataOptions & { word?: string[] }) => {
      const state = await callOn(data, "kit", {});
      const words = wholeWords(word ? parseWords(word) : await askWords(state));
      report(data, await callOn(data, "confirmKit", { words }), json);
    });
  addKitOptions(
    onData(kit, "rehearse", "see that a kit, or shares of it, are this site's; nothing of it is shown or kept"),
  ).action(async ({ data, json, ...options }: DataOptions & KitOptions) => {
    const { siteName, siteId, fingerprint } = await callOn(data, "kit", {});
    using given = await readGivenKit(options);
    const which = await requireKitOrAskedFor(data, fingerprint, given);
    if (json)
      return printJson({
        site: siteId,
        fingerprint: fingerprintOf(deriveRecoveryKey(given.kitRoot).publicKey),
        isRight: true,
      });
    printLine(
      which === "kit"
        ? `This is the recovery kit of ${siteName}. Nothing of it was kept here.`
        : `This is the kit that ${siteName} has asked for: it counts once the other members have agreed, and the site was restarted. Nothing of it was kept here.`,
    );
  });
  addKitPaper(kit);
  addShareCommands(kit);
  addReplaceCommand(kit);
  addKitOptions(
    onData(
      kit,
      "object",
      "nobody who has this kit asked for another one: end the request, at any site of the federation that runs",
    ),
  ).action(async ({ data, json, ...options }: DataOptions & KitOptions) => {
    using given = await readGivenKit(options, { needsSiteId: true });
    const { kits } = await callOn(data, "federationKits", {});
    const asked = kits.find(({ site: id }) => id === given.siteId);
    if (asked === undefined)
      throw new CostorError("member-unknown", "the site of this kit asks for no other one, as far as is known here");
    const recovery = deriveRecoveryKey(given.kitRoot);
    const { key, signature } = signKitObjection(asked.link, recovery.seed);
    recovery.seed.fill(0);
    const ended = await callOn(data, "federationObjectKit", {
      site: asked.site,
      key: key.toString("hex"),
      signature: signature.toString("hex"),
    });
    if (json) return printJson(ended);
    printLine(
      `The request for another kit of ${ended.name} is over. If its people did not make it, somebody else acts as`,
    );
    printLine("their site: docs/disasters.md, a stolen server.");
  });
}

function addKitPaper(kit: Command): void {
  addKitOptions(
    onData(kit, "page", "write the kit as a page to print, or as a file, with the addresses of the other sites"),
  )
    .requiredOption("--out <file>", "the new file: .html for the page, else the kit's file")
    .action(async ({ data, json, out, ...options }: DataOptions & KitOptions & { out: string }) => {
      const { siteName, siteId: id, fingerprint } = await callOn(data, "kit", {});
      const siteId = parseSiteId(id);
      const { kitFederationOf } = await import("./kit-federation.ts");
      const federation = await kitFederationOf(data);
      using given = await readGivenKit(options);
      await requireKitOrAskedFor(data, fingerprint, given);
      const { kitRoot } = given;
      const written = { siteName, siteId, kitRoot, ...(federation === undefined ? {} : { federation }) };
      const isPage = out.endsWith(".html");
      const [{ kitPage }, { formatKit }] = await Promise.all([import("./kit-page.ts"), import("#protocol/kit.ts")]);
      await writeSecret(out, isPage ? kitPage(written, new Date().toISOString().slice(0, 10)) : formatKit(written));
      const membersCount = federation?.members.length ?? 0;
      if (json) return printJson({ out, membersCount });
      printLine(
        `${out} has the kit of ${siteName}, with the addresses of ${formatCountOf(membersCount, "other site")}.`,
      );
      if (isPage)
        printLine("Print it from a browser, on paper that nobody else takes from the printer, and delete the file.");
    });
}

function report(data: string, state: KitState, json: true | undefined): void {
  if (json)
    return printJson({
      fingerprint: state.fingerprint,
      positions: state.positions,
      confirmed: state.confirmedMs !== undefined,
      confirmedMs: state.confirmedMs,
    });
  printLine(`Fingerprint: ${state.fingerprint}`);
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

/** The first four letters of each are enough. */
const wholeWords = (words: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(words).map(([position, word]) => [position, findWord(word) ?? word]));

async function askWords({ siteName, positions }: KitState): Promise<Record<string, string>> {
  using questions = openQuestions(
    `words ${positions.join(" and ")} are asked for: --word ${positions[0]}=… --word ${positions[1]}=…`,
  );
  process.stderr.write(`From the recovery kit of ${siteName}:\n`);
  const words: Record<string, string> = {};
  for (const position of positions) words[position] = await questions.ask(`  word ${position}: `);
  return words;
}
