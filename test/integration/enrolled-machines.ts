/** Machines enrolled at a site that runs in a process of its own, and the commands that a person gives on them. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Ended, type RestartableSite, costor, startRestartableSite } from "#test/agent/cli/costor-process.ts";
import { type CompareOptions, treeDifferences } from "#test/support/compare-trees.ts";
import { quickScratchDirectory } from "#test/support/scratch.ts";

export const isRoot = process.geteuid?.() === 0;

export interface Machine {
  readonly config: string;
  run(...words: string[]): Promise<Ended>;
  /** Runs a command that has to succeed, and gives what it reports. */
  // oxlint-disable-next-line typescript/no-explicit-any
  report(...words: string[]): Promise<any>;
}

export class EnrolledMachines {
  readonly site: RestartableSite;
  /** For whatever a test makes. */
  readonly directory: string;
  private targetsCount = 0;

  private constructor(site: RestartableSite, directory: string) {
    this.site = site;
    this.directory = directory;
  }

  static async start(name: string, roomBytes: number): Promise<EnrolledMachines> {
    const directory = await quickScratchDirectory(name, roomBytes);
    return new EnrolledMachines(await startRestartableSite(), directory);
  }

  async enrol(name: string): Promise<Machine> {
    const config = join(this.directory, name, "agent.yaml");
    mkdirSync(join(this.directory, name));
    const run = (...words: string[]): Promise<Ended> => costor(["agent", ...words, "--config", config]);
    const enrolled = await costor(["agent", "enrol", await this.site.enrolToken(name), "--config", config]);
    assert.equal(enrolled.code, 0, enrolled.stderr);
    return {
      config,
      run,
      report: async (...words) => {
        const ended = await run(...words, "--json");
        assert.equal(ended.code, 0, `${words.join(" ")}\n${ended.stderr}\n${ended.stdout.slice(0, 3000)}`);
        return ended.json();
      },
    };
  }

  /** Where nothing is yet. */
  newTarget(): string {
    return join(this.directory, `target-${++this.targetsCount}`);
  }

  /** Primes that the site holds. */
  async storedCount(): Promise<number> {
    return (await costor(["site", "stats", "--data", this.site.dataDirectory, "--json"])).json().store.primesCount;
  }
}

/** What differs between a directory and its restore below `to`. */
export const differences = (to: string, source: string, options?: CompareOptions): readonly string[] =>
  treeDifferences(source, join(to, source), { ignoresOwners: !isRoot, ...options });
