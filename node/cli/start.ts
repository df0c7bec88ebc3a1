/** `costor site start`: its options. */
import type { Command } from "commander";
import type { StartOptions } from "./running-site.ts";

export function addStartCommand(site: Command): void {
  addServingOptions(
    site
      .command("start")
      .description("run the site until it is stopped; the first start makes its keys and the recovery kit"),
  )
    .option("--kit <file>", "write the recovery kit to this new file at the first start, instead of showing it")
    .action(async (options: StartOptions) => {
      // A site is much to import; the other commands start in a quarter of the time.
      const { runSite } = await import("./running-site.ts");
      await runSite(options);
    });
}

/** What a site that runs is told. */
export const addServingOptions = (command: Command): Command =>
  command
    .requiredOption("--data <dir>", "directory of everything that the site keeps")
    .option("--listen <host:port>", "where to listen for agents", "0.0.0.0:8443")
    .option("--name <name>", "name of the site; counts at the first start only (default: this machine's name)")
    .option(
      "--address <host:port...>",
      "where agents find the site, when that is not where it listens; the port can be left out",
    )
    .option("--peer-listen <host:port>", "where to listen for other sites", "0.0.0.0:8444")
    .option("--peer-websocket <host:port>", "the same by WebSockets; off for none", "0.0.0.0:8445")
    .option("--no-lan-discovery", "do not look for other sites on the LAN")
    .option("--log-level <level>", "trace, debug, info, warn, error or silent", "info")
    .option("--json", "print one JSON line when the site is ready");
