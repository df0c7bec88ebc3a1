/**
 * The command line: reads it with commander, loads the side that it names, and turns every end into an exit code and,
 * where it failed, into an error that tells a person what to do next.
 */
import { Command, CommanderError } from "commander";
import { CostorError } from "#protocol/errors.ts";
import packageJson from "../package.json" with { type: "json" };
import { exitCodes } from "./exit-codes.ts";
import { printFailure } from "./failure.ts";
import { interruptionSignal, isInterrupted } from "./interruption.ts";

export interface Side {
  readonly description: string;
  /** Adds the side's command, named like the side, with its subcommands. Imports what it needs; called at most once. */
  addCommands(program: Command): Promise<void> | void;
}

export async function runProgram(argv: readonly string[], sides: Readonly<Record<string, Side>>): Promise<void> {
  const words = argv.slice(2);
  const json = words.includes("--json");
  // `costor agent ls … | head` closes the pipe early: nobody reads on, and that is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? exitCodes.ok : exitCodes.failed),
  );
  try {
    const program = createProgram();
    const named = words.find((word) => !word.startsWith("-"));
    const isCompletion = named === "complete";
    for (const [name, side] of Object.entries(sides)) {
      if (isCompletion || name === named) await side.addCommands(program);
      else program.command(name).description(side.description);
    }
    if (isCompletion) (await import("@bomb.sh/tab/commander")).default(program);
    else
      program
        .command("complete")
        .argument("<shell>", "bash, zsh, fish or powershell")
        .description("print the shell completion script");
    await program.parseAsync(argv as string[]);
  } catch (error) {
    process.exitCode = endedBy(error, json);
  }
}

function createProgram(): Command {
  return new Command("costor")
    .description("Backup for schools and small organisations with several sites, without a cloud")
    .version(packageJson.version)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError(true);
}

/** Prints what is to be said about `error` and returns the exit code. */
function endedBy(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return exitCodes.ok;
    // Help that was asked for by leaving the subcommand out is on stderr already.
    if (error.code === "commander.help") return exitCodes.usage;
    return printFailure(new CostorError("bad-usage", error.message.replace(/^error: /, "")), { json });
  }
  if (isInterrupted()) return printFailure(interruptionSignal().reason, { json });
  return printFailure(error, { json });
}
