import type { Command } from "commander";

/** What every command on a site's data directory takes. */
export interface DataOptions {
  readonly data: string;
  readonly json?: true;
}

export const onData = (parent: Command, name: string, description: string): Command =>
  parent
    .command(name)
    .description(description)
    .requiredOption("--data <dir>", "the site's data directory")
    .option("--json", "print JSON");
