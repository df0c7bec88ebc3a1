/** `costor agent …`: the commands of a machine that is backed up. What a command needs is imported when it runs. */
import { type Command, Option } from "commander";
import { interruptionSignal } from "#terminal/interruption.ts";
import { pathOfArgument } from "./path-argument.ts";

interface CommonOptions {
  readonly config: string;
  readonly json?: true;
}

export function addAgentCommands(program: Command): void {
  const agent = program.command("agent").description("back up and restore this machine");
  addEnrol(agent);
  addBackup(agent);
  addQueries(agent);
  addRestore(agent);
  withConfig(agent, "run", "stay, and back up by the schedule of the configuration").action(
    async ({ config, json }: CommonOptions) => {
      const { run } = await import("./run.ts");
      await run({ configFile: config, json: json === true, signal: interruptionSignal() });
    },
  );
}

function withConfig(parent: Command, name: string, description: string): Command {
  const config = new Option("--config <file>", "the agent's configuration")
    .default("/etc/costor/agent.yaml")
    .env("COSTOR_AGENT_CONFIG");
  return parent.command(name).description(description).addOption(config).option("--json", "print JSON");
}

const queryOf = ({ config, json }: CommonOptions) => ({
  configFile: config,
  json: json === true,
  signal: interruptionSignal(),
});

function addEnrol(agent: Command): void {
  withConfig(agent, "enrol", "make this machine an agent of the site that made the token; writes the configuration")
    .argument(
      "<token>",
      "what `costor site enrol-token` printed, or - for standard input: then no list of processes shows it",
    )
    .option("--name <name>", "what the site calls this machine (default: its host name)")
    .option("--root <path...>", "what to back up; can be written into the configuration later")
    .option("--database <dir>", "where the agent keeps its own database (default: beside the configuration)")
    .action(async (token: string, options: CommonOptions & { name?: string; root?: string[]; database?: string }) => {
      const { enrol } = await import("./enrol.ts");
      const { readSecretArgument } = await import("#terminal/secret-argument.ts");
      const roots = (options.root ?? []).map(pathOfArgument);
      await enrol({
        ...queryOf(options),
        token: await readSecretArgument(token),
        name: options.name,
        roots,
        databaseDirectory: options.database,
      });
    });
}

function addBackup(agent: Command): void {
  withConfig(agent, "backup", "make one snapshot of the paths, or of the configuration's roots")
    .argument("[path...]", "files and directories")
    .option("--dry-run", "say what would be read and sent, and send nothing")
    .action(async (paths: string[], options: CommonOptions & { dryRun?: true }) => {
      const { backUp } = await import("./backup.ts");
      await backUp({ ...queryOf(options), paths: paths.map(pathOfArgument), isDryRun: options.dryRun === true });
    });
}

const SNAPSHOT_HELP = "a snapshot's id, the beginning of one, or latest";
const PATH_HELP = "as it was on the machine";

function addQueries(agent: Command): void {
  withConfig(agent, "snapshots", "list this machine's snapshots, oldest first").action(
    async (options: CommonOptions) => {
      const { showSnapshots } = await import("./queries.ts");
      await showSnapshots(queryOf(options));
    },
  );
  withConfig(agent, "ls", "list a directory of a snapshot")
    .argument("<snapshot>", SNAPSHOT_HELP)
    .argument("[path]", PATH_HELP, "/")
    .option("-r, --recursive", "with all that lies below")
    .action(async (snapshot: string, path: string, options: CommonOptions & { recursive?: true }) => {
      const { showListing } = await import("./queries.ts");
      await showListing(queryOf(options), snapshot, pathOfArgument(path), options.recursive === true);
    });
  withConfig(agent, "find", "find names in all snapshots")
    .argument("<pattern>", "a name with * and ?; with a slash in it, a path, where ** stands for any directories")
    .option("--regex", "the pattern is a regular expression, found anywhere in the name")
    .option("-i, --ignore-case", "capital and small letters are the same")
    .action(async (pattern: string, options: CommonOptions & { regex?: true; ignoreCase?: true }) => {
      const { showFound } = await import("./queries.ts");
      await showFound({
        ...queryOf(options),
        pattern,
        isRegex: options.regex === true,
        ignoresCase: options.ignoreCase === true,
      });
    });
  withConfig(agent, "versions", "list the distinct versions of one path, with the first and last snapshot of each")
    .argument("<path>", PATH_HELP)
    .action(async (path: string, options: CommonOptions) => {
      const { showVersions } = await import("./queries.ts");
      await showVersions(queryOf(options), pathOfArgument(path));
    });
  withConfig(
    agent,
    "diff",
    "show what differs between two snapshots: + added, - removed, M changed, U other attributes only",
  )
    .argument("<before>", SNAPSHOT_HELP)
    .argument("<after>", SNAPSHOT_HELP)
    .action(async (before: string, after: string, options: CommonOptions) => {
      const { showDifferences } = await import("./queries.ts");
      await showDifferences(queryOf(options), before, after);
    });
}

interface RestoreOptions extends CommonOptions {
  readonly to: string;
  readonly overwrite: "never" | "if-changed" | "if-newer" | "always";
  readonly delete?: true;
  readonly deleteFromPartial?: true;
  readonly dryRun?: true;
  readonly verify?: true;
}

function addRestore(agent: Command): void {
  const overwrite = new Option("--overwrite <mode>", "what to do with files that exist")
    .choices(["never", "if-changed", "if-newer", "always"])
    .default("never");
  withConfig(agent, "restore", "restore a snapshot, or paths of it, under a directory")
    .argument("<snapshot>", SNAPSHOT_HELP)
    .argument("[path...]", `${PATH_HELP} (default: everything)`)
    .requiredOption("--to <dir>", "the directory; the paths are restored below it as they were below /")
    .addOption(overwrite)
    .option("--delete", "delete what the snapshot does not hold from the directories that are restored")
    .option("--delete-from-partial", "as --delete, even where files could not be read at the backup: it deletes them")
    .option("--dry-run", "say what would be done, and do nothing")
    .option("--verify", "read back and compare every file that is restored, or left because size and time are the same")
    .action(async (snapshot: string, paths: string[], options: RestoreOptions) => {
      const { restore } = await import("./restore.ts");
      await restore({
        ...queryOf(options),
        snapshot,
        paths: paths.map(pathOfArgument),
        to: pathOfArgument(options.to),
        overwrite: options.overwrite,
        deleteExtra: options.delete === true || options.deleteFromPartial === true,
        deleteFromPartial: options.deleteFromPartial === true,
        isDryRun: options.dryRun === true,
        verify: options.verify === true,
      });
    });
}
