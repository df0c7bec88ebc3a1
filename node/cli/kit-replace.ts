/** `costor site kit replace`: a new recovery kit, by the former one. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { fingerprintOf } from "#protocol/keys.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type KitOptions, addKitOptions, readGivenKit } from "./kit-input.ts";
import { writeSecret } from "./kit-secrets.ts";

interface ReplaceOptions extends DataOptions, KitOptions {
  readonly newKit?: string;
}

export function addReplaceCommand(kit: Command): void {
  addKitOptions(
    onData(kit, "replace", "make a new recovery kit; the former one, which is asked for, ends. The site must not run"),
  )
    .option("--new-kit <file>", "write the new kit to this new file, instead of showing it")
    .action(async (options: ReplaceOptions) => replace(options));
}

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
  const handOver = async (text: string): Promise<void> => {
    if (newKit === undefined) return void process.stdout.write(text);
    await writeSecret(newKit, text);
  };
  const ledgerStore = new LedgerFacts({ store });
  const { siteName, siteId, recoveryPublicKey } = await replaceKit(
    directory,
    { ledgerStore },
    { formerRoot: given.kitRoot, handOver },
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
