/** CoStor itself: a site and its agents, through the launcher, as a person would run them. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Contender, RunningContender } from "./contender.ts";
import { run, type Command } from "./measure.ts";
import { freePort, startServer } from "./server-process.ts";

const project = join(import.meta.dirname, "../..");
const launcher = join(project, "costor");

export function costorContender(): Contender {
  if (!existsSync(launcher)) throw new Error(`${launcher} is missing`);
  return { name: "costor", start };
}

async function start(folder: string): Promise<RunningContender> {
  const storeFolder = join(folder, "site");
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const server = await startServer(
    {
      program: launcher,
      arguments: ["site", "start", "--data", storeFolder, "--listen", `127.0.0.1:${port}`].concat([
        "--kit",
        join(folder, "recovery-kit.txt"),
      ]),
    },
    port,
    join(folder, "server.log"),
  );
  const configFor = (machine: string): string => join(folder, `agent-${machine}`, "agent.yaml");
  const agent = (machine: string, verb: string, words: readonly string[]): Command => ({
    program: launcher,
    arguments: ["agent", verb, ...words, "--config", configFor(machine)],
    environment: { HOME: join(folder, `agent-${machine}`) },
  });
  return {
    serverPid: server.pid,
    storeFolder,
    prepare: async (machine) => {
      await mkdir(join(folder, `agent-${machine}`), { recursive: true });
      const { token } = (await reportOf({
        program: launcher,
        arguments: ["site", "enrol-token", "--data", storeFolder, "--name", machine, "--json"],
      })) as { token: string };
      await successOf(agent(machine, "enrol", [token]));
    },
    backup: (machine, paths) => agent(machine, "backup", paths),
    restore: async (machine, target) => {
      const snapshots = (await reportOf(agent(machine, "snapshots", ["--json"]))) as { id: string }[];
      const newest = snapshots.at(-1);
      if (newest === undefined) throw new Error(`machine ${machine} has no snapshot to restore`);
      return agent(machine, "restore", [newest.id, "--to", target]);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function successOf(command: Command): Promise<string> {
  const { exitCode, output, printed } = await run(command);
  if (exitCode === 0) return printed;
  throw new Error(`${command.program} ${command.arguments.join(" ")}\nended with exit code ${exitCode}: ${output}`);
}

/** What a command reports under --json. */
async function reportOf(command: Command): Promise<unknown> {
  return JSON.parse(await successOf(command));
}
