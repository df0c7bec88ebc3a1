/** Children of this process and theirs: which there are, and that none outlives it. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import type { Command } from "./measure.ts";

const living = new Set<ChildProcess>();

/** Starts a command that ends with this process at the latest, with all that it started. */
export function spawnOwned(command: Command, stdio: SpawnOptions["stdio"]): ChildProcess {
  const child = spawn(command.program, command.arguments, { env: { ...process.env, ...command.environment }, stdio });
  living.add(child);
  child.once("exit", () => living.delete(child));
  child.once("error", () => living.delete(child));
  return child;
}

/** The living children of a process, whichever of its threads started them. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").split(" ").filter(Boolean).map(Number),
  );
}

function killTree(pid: number): void {
  try {
    for (const child of childrenOf(pid)) killTree(child);
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

process.on("exit", () => {
  for (const { pid } of living) if (pid !== undefined) killTree(pid);
});
