/** The commands that restore without the machine's own site. What they need is imported when they run. */
import type { Command } from "commander";
import { type KitOptions, addKitOptions } from "#node/cli/kit-input.ts";
import { interruptionSignal } from "#terminal/interruption.ts";
import { addRescueOptions, requestOf } from "./rescue-options.ts";

type RescueOptions = Parameters<typeof requestOf>[0];

export function addExtractCommand(site: Command): void {
  const extract = site
    .command("extract")
    .description(
      "restore from a copied data directory with the recovery kit, with nothing running; writes nothing there",
    )
    .requiredOption(
      "--data <dir>",
      "the copy: of the site's own data directory, or of that of a site that keeps its copies",
    );
  addRescueOptions(addKitOptions(extract)).action(async (options: RescueOptions & KitOptions & { data: string }) => {
    const { extractSite } = await import("./extract.ts");
    await extractSite(options, requestOf(options), interruptionSignal());
  });
}

export function addRemoteRestoreCommand(federation: Command): void {
  const restore = federation
    .command("restore")
    .description("restore files of a site that is gone, here, from those that keep its copies, with its recovery kit")
    .requiredOption("--data <dir>", "the data directory of this site, which runs");
  addRescueOptions(addKitOptions(restore)).action(async (options: RescueOptions & KitOptions & { data: string }) => {
    const { restoreRemotely } = await import("./remote-restore.ts");
    await restoreRemotely(options, requestOf(options), interruptionSignal());
  });
}
