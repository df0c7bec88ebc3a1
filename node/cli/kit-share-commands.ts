/** `costor site kit split` and `combine`: the kit in shares, each with a holder. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { CostorError } from "#protocol/errors.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { deriveRecoveryKey, fingerprintOf, siteIdOf } from "#protocol/keys.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type KitOptions, addKitOptions, addShareOption, readGivenKit } from "./kit-input.ts";
import { requireKitOrAskedFor, writeSecret } from "./kit-secrets.ts";
import { ask } from "./question.ts";
import { callOn } from "./site-access.ts";

export function addShareCommands(kit: Command): void {
  addKitOptions(onData(kit, "split", "write the kit as shares, of which some together make it again"))
    .requiredOption("--shares <m-of-n>", "how many are needed of how many, such as 3-of-5")
    .requiredOption("--holder <name...>", "who keeps a share: as many names as there are shares")
    .requiredOption("--out <dir>", "a new or empty directory for the shares: a page and a file each")
    .action(async (options: SplitOptions) => split(options));
  addShareOption(kit.command("combine").description("make the kit again out of shares"))
    .requiredOption("--out <file>", "the kit's new file")
    .option("--site <name>", "the site's name, when no file of a share tells it")
    .option("--json", "print JSON")
    .action(async ({ share = true, siteId, out, site: name, json }: CombineOptions) => {
      const site = name ?? (share === true ? await askSiteName() : undefined);
      using given = await readGivenKit({ share, ...(siteId !== undefined && { siteId }) }, { needsSiteId: true });
      const siteName = given.siteName ?? site;
      if (siteName === undefined) throw new CostorError("bad-usage", "words alone do not tell the site's name: --site");
      const { formatKit } = await import("#protocol/kit.ts");
      await writeSecret(out, formatKit({ ...given, siteName }));
      if (json) return printJson({ out, site: given.siteId });
      printLine(`${out} has the kit of ${siteName}. Delete it when it has served, and make a new kit then.`);
    });
}

async function askSiteName(): Promise<string> {
  const instead = "the words of shares are asked for on a terminal; elsewhere files are named";
  for (;;) {
    const name = (await ask("The site's name, as it stands on the pages: ", instead)).trim();
    if (name !== "") return name;
  }
}

interface SplitOptions extends DataOptions, KitOptions {
  readonly shares: string;
  readonly holder: readonly string[];
  readonly out: string;
}
interface CombineOptions extends KitOptions {
  readonly out: string;
  readonly site?: string;
  readonly json?: true;
}

async function split({ data, json, shares: text, holder: holders, out, ...options }: SplitOptions): Promise<void> {
  const [threshold, count] = parseSplit(text);
  if (holders.length !== count)
    throw new CostorError("bad-usage", `${count} shares need ${count} holders, and ${holders.length} are named`);
  const { siteName, siteId: id, fingerprint: ofSite } = await callOn(data, "kit", {});
  const siteId = parseSiteId(id);
  const { kitFederationOf } = await import("./kit-federation.ts");
  const federation = await kitFederationOf(data);
  using given = await readGivenKit(options);
  await requireKitOrAskedFor(data, ofSite, given);
  const { publicKey } = deriveRecoveryKey(given.kitRoot);
  const fingerprint = fingerprintOf(publicKey);
  const [{ splitKitRoot }, { formatShare }, { sharePage }] = await Promise.all([
    import("#protocol/kit-share.ts"),
    import("#protocol/kit-share-file.ts"),
    import("./kit-share-page.ts"),
  ]);
  const shares = await splitKitRoot(given.kitRoot, threshold, count);
  await mkdir(out, { recursive: true, mode: 0o700 });
  if ((await readdir(out)).length > 0) throw new CostorError("kit-file-exists", `${out} is not empty`);
  const date = new Date().toISOString().slice(0, 10);
  const common = { siteName, siteId, fingerprint };
  const isReplaced = siteIdOf(publicKey) !== siteId;
  for (const [index, share] of shares.entries()) {
    const held = { ...common, share, holder: holders[index]! };
    const others = holders.filter((_, at) => at !== index);
    const path = join(out, `share-${share.number}-of-${count}`);
    await writeSecret(`${path}.txt`, formatShare(held));
    await writeSecret(`${path}.html`, sharePage(held, { others, federation, isReplaced, date }));
  }
  if (json) return printJson({ out, threshold, count });
  printLine(`${out} has ${count} shares; any ${threshold} of them make the kit of ${siteName} again.`);
  printLine(
    `Give each holder the page or the file, and delete the directory. Then rehearse: costor site kit rehearse --data ${shellWord(data)} --share`,
  );
}

function parseSplit(text: string): [number, number] {
  const parts = /^(\d{1,2})-of-(\d{1,2})$/.exec(text);
  const [threshold, count] = [Number(parts?.[1]), Number(parts?.[2])];
  if (threshold >= 2 && threshold <= count) return [threshold, count];
  throw new CostorError("bad-usage", `--shares ${text}: M-of-N is expected, such as 3-of-5, with M from 2 to N`);
}
