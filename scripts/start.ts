/**
 * `npm start`: a first site in one command. Runs a site, makes this machine an agent of it, backs up one directory,
 * restores it beside and compares the two as proof, says what to do next, and serves until it is stopped. Everything is
 * done by `./costor` as a person would do it; a second start goes on with what is there.
 */
import { existsSync, rmSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CostorError } from "#protocol/errors.ts";
import { interruptionSignal } from "#terminal/interruption.ts";
import { printFailure } from "#terminal/failure.ts";
import { printLine } from "#terminal/output.ts";
import { formatBytes, formatCountOf } from "#terminal/quantities.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { compareTrees } from "#test/support/compare-trees.ts";
import { removeTrees } from "#test/support/scratch.ts";
import { CommandFailed, costorPath, runCostor, runCostorJson, startSite } from "./costor-process.ts";

const usage = `npm start -- [--data DIR] [--listen HOST:PORT] [--backup DIR] [--kit FILE] [--name NAME] [--once]

  --data DIR          where everything is kept (default: ./data)
  --listen HOST:PORT  where the site listens for agents (default: 0.0.0.0:8443)
  --backup DIR        what is backed up and restored as proof (default: this clone's docs/)
  --kit FILE          write the recovery kit to this new file, instead of showing it once
  --name NAME         the site's name; counts at the first start only (default: this machine's)
  --once              stop after the proof
`;

interface StartSettings {
  readonly data: string;
  readonly listen: string;
  readonly backup: string;
  readonly kit: string | undefined;
  readonly name: string | undefined;
  readonly once: boolean;
}

const root = resolve(import.meta.dirname, "..");
/** npm runs scripts in the clone; a path that a person typed counts from where they stand. */
const typedFrom = process.env["INIT_CWD"] ?? process.cwd();
const shown = (path: string): string => {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith("..") ? path : fromHere || ".";
};

function readSettings(): StartSettings | undefined {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    const { values } = parseArgs({
      options: {
        data: text,
        listen: text,
        backup: text,
        kit: text,
        name: text,
        once: flag,
        help: { ...flag, short: "h" },
      },
    });
    if (values.help) return undefined;
    return {
      data: resolve(typedFrom, values.data ?? join(root, "data")),
      listen: values.listen ?? "0.0.0.0:8443",
      backup: resolve(typedFrom, values.backup ?? join(root, "docs")),
      kit: values.kit === undefined ? undefined : resolve(typedFrom, values.kit),
      name: values.name,
      once: values.once === true,
    };
  } catch (error) {
    throw new CostorError("bad-usage", (error as Error).message, { cause: error });
  }
}

async function start(settings: StartSettings, signal: AbortSignal): Promise<void> {
  const { data, backup } = settings;
  const siteDirectory = join(data, "site");
  const configFile = join(data, "agent", "agent.yaml");
  const restoredDirectory = join(data, "restored");
  if (!statSync(backup, { throwIfNoEntry: false })?.isDirectory())
    throw new CostorError("bad-usage", `${backup} is not a directory`);
  if (!relative(backup, data).startsWith(".."))
    throw new CostorError("bad-usage", `${data} lies inside of ${backup}: choose another --data`);
  await mkdir(join(data, "agent"), { recursive: true, mode: 0o700 });
  const isFirst = !existsSync(join(siteDirectory, "site"));

  const site = await startSite({ ...settings, data: siteDirectory }, signal);
  await using _site = site;
  const { ready } = site;
  printLine(
    `Site ${ready.siteName} listens on https://${ready.listen.host}:${ready.listen.port}${isFirst ? "; its keys and certificate are new" : ""}.`,
  );

  if (!statSync(configFile, { throwIfNoEntry: false })?.size) {
    // An empty one is what a killed enrolment left.
    rmSync(configFile, { force: true });
    const address = `${ready.listen.host === "0.0.0.0" ? "127.0.0.1" : ready.listen.host}:${ready.listen.port}`;
    const parameters = ["--data", siteDirectory, "--name", hostname(), "--address", address];
    const { token } = await runCostorJson<{ token: string }>(["site", "enrol-token", ...parameters], signal);
    await runCostorJson(["agent", "enrol", token, "--config", configFile], signal);
    printLine(`This machine is an agent of it now; its configuration is ${shown(configFile)}.`);
  } else printLine(`This machine is an agent of it already, by ${shown(configFile)}.`);

  printLine(`Backing up ${shown(backup)} …`);
  await runCostor(["agent", "backup", "--config", configFile, backup], signal);
  const snapshots = await runCostorJson<{ id: string }[]>(["agent", "snapshots", "--config", configFile], signal);
  const snapshot = snapshots.at(-1);
  if (snapshot === undefined) throw new CostorError("internal", "the site lists no snapshot after a backup");

  removeTrees([restoredDirectory]);
  await runCostor(["agent", "restore", snapshot.id, "--config", configFile, "--to", restoredDirectory], signal);
  const restored = join(restoredDirectory, backup);
  const comparison = compareTrees(backup, restored, { ignoresOwners: process.getuid?.() !== 0 });
  if (comparison.differences.length === 0) {
    const what = `${formatCountOf(comparison.objectsCount, "object")}, ${formatBytes(Number(comparison.fileBytes))}`;
    printLine(`Restored to ${shown(restored)} and compared: ${what}, every byte and attribute equal.`);
  } else {
    printLine(`Restored to ${shown(restored)}, and not equal (what changed since the backup shows here too):`);
    for (const difference of comparison.differences.slice(0, 10)) printLine(`  ${difference}`);
    process.exitCode = 1;
  }
  if (settings.once) return;
  printNextSteps(siteDirectory, ready.kitConfirmed);
  await site.ended().catch((error: unknown) => {
    // Asked to stop: that is how a service ends.
    if (!signal.aborted) throw error;
  });
}

function printNextSteps(siteDirectory: string, kitConfirmed: boolean): void {
  const costor = shown(costorPath) === "costor" ? "./costor" : shellWord(costorPath);
  const data = shellWord(shown(siteDirectory));
  printLine();
  printLine("What to do next:");
  printLine(`- Enrol another machine: here  ${costor} site enrol-token --data ${data} --name NAME`);
  printLine(`  and there, in a clone,  ./costor agent enrol TOKEN --config agent.yaml`);
  printLine(`  and then  ./costor agent backup --config agent.yaml /home`);
  if (!kitConfirmed) {
    printLine(
      "- Put the recovery kit away, where no fire or thief takes it with this machine, and type two words of it back:",
    );
    printLine(`  ${costor} site kit confirm --data ${data}`);
  }
  printLine("Ctrl-C stops the site; npm start goes on where it stopped.");
}

// A closed terminal takes its output away; the signal that it sends as well ends this process in order.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
const signal = interruptionSignal();
try {
  const settings = readSettings();
  if (settings === undefined) process.stdout.write(usage);
  else await start(settings, signal);
} catch (error) {
  if (error instanceof CommandFailed) process.exitCode = error.exitCode;
  else process.exitCode = printFailure(signal.aborted ? signal.reason : error, { json: false });
}
