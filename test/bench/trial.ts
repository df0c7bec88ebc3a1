/** One contender going once through one scenario, from an empty store: measures each step and compares restores. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { rsyncDifferences } from "#test/support/rsync-compare.ts";
import type { Contender, RunningContender } from "./contender.ts";
import { allocatedBytes, measure, type Command, type Measurement } from "./measure.ts";

export interface Sample extends Omit<Measurement, "output"> {
  readonly scenario: string;
  readonly step: string;
  readonly contender: string;
  readonly runNumber: number;
  /** Allocated bytes of the whole store after the step, index and all, less what the store took while it was empty. */
  readonly storedBytes: number;
  /** By how much the step made the store grow. */
  readonly addedBytes: number;
}

export interface TrialInit {
  readonly scenario: string;
  readonly runNumber: number;
  /** A new folder for the store and the restored tree. The caller removes it, when that disturbs nobody. */
  readonly folder: string;
  readonly comparesRestores: boolean;
  readonly onSample: (sample: Sample) => void;
}

export class Trial implements AsyncDisposable {
  readonly #contender: Contender;
  readonly #running: RunningContender;
  readonly #init: TrialInit;
  #emptyBytes = 0;
  readonly #machines = new Set<string>();
  /** Differences that the restores of this trial showed, as rsync itemises them. */
  readonly differences: string[] = [];

  private constructor(contender: Contender, running: RunningContender, init: TrialInit) {
    this.#contender = contender;
    this.#running = running;
    this.#init = init;
  }

  static async open(contender: Contender, init: TrialInit): Promise<Trial> {
    await mkdir(init.folder, { recursive: true });
    return new Trial(contender, await contender.start(init.folder), init);
  }

  async backup(step: string, machine: string, paths: readonly string[]): Promise<void> {
    await this.#prepare(machine);
    if (step.startsWith("first")) await readIntoCache(paths);
    await this.#measure(step, this.#running.backup(machine, paths));
  }

  /** Restores into an empty folder, once a trial, and compares if it is asked to. */
  async restore(step: string, machine: string, paths: readonly string[]): Promise<void> {
    const target = join(this.#init.folder, "restored");
    await this.#measure(step, await this.#running.restore(machine, target));
    if (this.#init.comparesRestores) {
      for (const path of paths) {
        const differences = await rsyncDifferences(path, join(target, path), {
          ignoresOwners: process.getuid?.() !== 0,
        });
        this.differences.push(...differences.map((line) => `${path}: ${line}`));
      }
    }
  }

  async #prepare(machine: string): Promise<void> {
    if (this.#machines.has(machine)) return;
    await this.#running.prepare(machine);
    if (this.#machines.size === 0) this.#emptyBytes = allocatedBytes(this.#running.storeFolder);
    this.#machines.add(machine);
  }

  async #measure(step: string, command: Command): Promise<void> {
    execFileSync("sync"); // What an earlier step left to be written is not this step's work.
    const { storeFolder, serverPid } = this.#running;
    const bytesBefore = allocatedBytes(storeFolder) - this.#emptyBytes;
    const { output: _, ...figures } = await measure(command, serverPid);
    const storedBytes = allocatedBytes(storeFolder) - this.#emptyBytes;
    const { scenario, runNumber } = this.#init;
    this.#init.onSample({
      scenario,
      step,
      contender: this.#contender.name,
      runNumber,
      ...figures,
      storedBytes,
      addedBytes: storedBytes - bytesBefore,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]();
  }
}

/** Reads the trees once (GNU tar reads nothing when it writes to /dev/null itself, so a pipe stands between). */
async function readIntoCache(paths: readonly string[]): Promise<void> {
  const tar = spawn("tar", ["-cf", "-", "--", ...paths], { stdio: ["ignore", "pipe", "ignore"] });
  tar.stdout.resume();
  await once(tar, "close");
}
