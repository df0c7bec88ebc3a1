/** `costor site recover` and `costor site adopt`: their options. */
import type { Command } from "commander";
import type { AdoptOptions } from "./adopting-site.ts";
import { onData } from "./data-command.ts";
import { addKitOptions } from "./kit-input.ts";
import type { RecoverOptions } from "./recovering-site.ts";
import { addServingOptions } from "./start.ts";

export function addRecoverCommands(site: Command): void {
  addKitOptions(
    addServingOptions(
      site
        .command("recover")
        .description(
          "bring a site back on this machine, with its recovery kit and one other site that is reached, and run it; costor site start goes on with it later",
        ),
    ),
  )
    .option(...memberOption)
    .option(
      "--compromised",
      "somebody else had the site's machine: bring back what was deleted since too, believe nothing that was said for the site, and end all enrolments",
    )
    .action(async (options: RecoverOptions) => {
      const { recoverSite } = await import("./recovering-site.ts");
      await recoverSite(options);
    });
  addKitOptions(
    onData(
      site,
      "adopt",
      "make this machine the site, with its recovery kit, when another one acts as it or may: a copy, an older disk, the one before a recovery",
    ),
  )
    .option(...memberOption)
    .option("--log-level <level>", "trace, debug, info, warn, error or silent", "warn")
    .action(async (options: AdoptOptions) => {
      const { adoptSite } = await import("./adopting-site.ts");
      await adoptSite(options);
    });
}

const memberOption = [
  "--member <address...>",
  "where another site is, when the kit does not tell or tells it no more: there, costor federation members --addresses",
] as const;
