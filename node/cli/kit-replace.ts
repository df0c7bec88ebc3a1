/** `costor site kit replace`: a new recovery kit, by the former one, or by a majority of the other members when that is lost. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { parseLogId } from "#protocol/ids.ts";
import { fingerprintOf } from "#protocol/keys.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { formatCountOf } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type KitOptions, addKitOptions, readGivenKit } from "./kit-input.ts";
import { writeSecret } from "./kit-secrets.ts";
import { callOn } from "./site-access.ts";

interface ReplaceOptions extends DataOptions, KitOptions {
  readonly newKit?: string;
  readonly lost?: true;
  readonly cancel?: true;
}

export function addReplaceCommand(kit: Command): void {
  addKitOptions(
    onData(kit, "replace", "make a new recovery kit; the former one, which is asked for, ends. The site must not run"),
  )
    .option("--new-kit <file>", "write the new kit to this new file, instead of showing it")
    .option("--lost", "nobody has the former kit: ask the other members for it, on a site that runs")
    .option("--cancel", "with --lost: ask no more, the former kit was found")
    .action(async (options: ReplaceOptions) => {
      if (options.cancel) return cancel(options);
      await (options.lost ? askOthers(options) : replace(options));
    });
}

async function askOthers({ data, json, newKit, kit, share }: ReplaceOptions): Promise<void> {
  if (kit !== undefined || share !== undefined)
    throw new CostorError("bad-usage", "whoever has the kit needs nobody else: leave --lost out");
  if (json && newKit === undefined) throw new CostorError("bad-usage", "--json needs --new-kit: a kit is not for logs");
  const { logs } = await callOn(data, "federationKitLogs", {});
  const { RequestedKitFiles } = await import("#node/site/requested-kit.ts");
  const requested = new RequestedKitFiles({ dataDirectory: resolve(data) });
  await requested.make({ logs: logs.map(parseLogId), handOver: (text) => handOver(newKit, text) });
  const asked = await callOn(data, "federationAskKit", {});
  if (json) return printJson({ ...asked, kit: newKit });
  printLine("Put the new kit away now. It is worth nothing yet: the other members have to approve it.");
  printLine(
    `Call the people of at least ${formatCountOf(asked.neededCount, "other member")}, and read these eight words to them:`,
  );
  printLine(`  ${asked.words.join(" ")}`);
  printLine(
    "There: costor federation approve-kit. When enough have, the lock period begins, in which whoever has the former kit can object.",
  );
  printLine("How far it is: costor federation kits. Until then the site has no kit: let it run.");
}

async function cancel({ data, json, lost }: ReplaceOptions): Promise<void> {
  if (!lost) throw new CostorError("bad-usage", "--cancel goes with --lost");
  const done = await callOn(data, "federationCancelKit", {});
  if (json) return printJson(done);
  printLine("This site asks for no other kit any more. Destroy the one that was made for it.");
}

const handOver = async (newKit: string | undefined, text: string): Promise<void> => {
  if (newKit === undefined) process.stdout.write(text);
  else await writeSecret(newKit, text);
};

async function replace({ data, json, newKit, ...options }: ReplaceOptions): Promise<void> {
  if (json && newKit === undefined) throw new CostorError("bad-usage", "--json needs --new-kit: a kit is not for logs");
  const directory = resolve(data);
  using given = await readGivenKit(options);
  const [{ openSiteStore }, { LedgerFacts }, { replaceKit }, { finishReplacement }] = await Promise.all([
    import("#node/site/site-store.ts"),
    import("#node/site/ledger-facts.ts"),
    import("#node/site/kit-replacement.ts"),
    import("#node/site/replaced-directory.ts"),
  ]);
  await using store = await openSiteStore(directory).catch((error: unknown) => {
    if (!isCostorError(error, "store-locked")) throw error;
    throw new CostorError("store-locked", "the site runs: stop it, replace the kit, start it again", { cause: error });
  });
  await finishReplacement(directory);
  const ledgerStore = new LedgerFacts({ store });
  const { siteName, siteId, recoveryPublicKey } = await replaceKit(
    directory,
    { ledgerStore },
    { formerRoot: given.kitRoot, handOver: (text) => handOver(newKit, text) },
  );
  const fingerprint = fingerprintOf(recoveryPublicKey);
  if (json) return printJson({ site: siteId, fingerprint, kit: newKit });
  printLine(
    `${siteName} has a new recovery kit, with the fingerprint ${fingerprint}. The former one is worth nothing to the other sites`,
  );
  printLine(
    "as soon as they hear of it: start the site now, destroy the former kit and its shares, print the new one, and confirm it.",
  );
}
