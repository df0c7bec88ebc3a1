/** `costor site recover`: its options. */
import type { Command } from "commander";
import { addKitOptions } from "./kit-input.ts";
import type { RecoverOptions } from "./recovering-site.ts";
import { addServingOptions } from "./start.ts";

export function addRecoverCommand(site: Command): void {
  addKitOptions(
    addServingOptions(
      site
        .command("recover")
        .description(
          "bring a site back on this machine, with its recovery kit and one other site that is reached, and run it; costor site start goes on with it later",
        ),
    ),
  )
    .option(
      "--member <address...>",
      "where another site is, when the kit does not tell or tells it no more: there, costor federation members --addresses",
    )
    .action(async (options: RecoverOptions) => {
      const { recoverSite } = await import("./recovering-site.ts");
      await recoverSite(options);
    });
}
