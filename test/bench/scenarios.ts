/** What is measured: each scenario is a few steps over one corpus. */
import {
  largeFileCorpus,
  manyFilesCorpus,
  modulesCorpus,
  secondMachineCorpus,
  systemCorpus,
  type Corpus,
} from "./corpora.ts";
import type { Trial } from "./trial.ts";

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Part of a bench that names no scenario. */
  readonly isDefault: boolean;
  prepare(workFolder: string, isSmall: boolean): Promise<PreparedScenario>;
}

export interface PreparedScenario {
  readonly corpora: readonly Corpus[];
  /** The steps. They leave the corpora as they found them. */
  steps(trial: Trial): Promise<void>;
}

/** The most that CoStor may take of what restic takes, by the step's name. Steps without an entry have no goal. */
export const goals: Readonly<Record<string, { wall?: number; cpu?: number; stored?: number }>> = {
  "first backup": { wall: 0.5, cpu: 0.7, stored: 1.05 },
  "no-change backup": { wall: 0.25, stored: 1.05 },
  "changed backup": { wall: 0.5, stored: 1.05 },
  "second machine": { stored: 1.05 },
  restore: { wall: 0.5 },
};

function backupTwiceAndRestore(corpus: Corpus): PreparedScenario {
  return {
    corpora: [corpus],
    steps: async (trial) => {
      await trial.backup("first backup", "machine-1", corpus.paths);
      await trial.backup("no-change backup", "machine-1", corpus.paths);
      await trial.restore("restore", "machine-1", corpus.paths);
    },
  };
}

async function prepareLarge(workFolder: string, isSmall: boolean): Promise<PreparedScenario> {
  const corpus = await largeFileCorpus(workFolder, isSmall);
  return {
    corpora: [corpus],
    steps: async (trial) => {
      await corpus.setRevision(0);
      await trial.backup("first backup", "machine-1", corpus.paths);
      await corpus.setRevision(1);
      await trial.backup("changed backup", "machine-1", corpus.paths);
      await trial.restore("restore", "machine-1", corpus.paths);
      await corpus.setRevision(0);
    },
  };
}

async function prepareSecondMachine(workFolder: string, isSmall: boolean): Promise<PreparedScenario> {
  const first = systemCorpus(isSmall);
  const second = await secondMachineCorpus(workFolder, first, isSmall);
  return {
    corpora: [first, second],
    steps: async (trial) => {
      await trial.backup("first machine", "machine-1", first.paths);
      await trial.backup("second machine", "machine-2", second.paths);
      await trial.restore("restore", "machine-2", second.paths);
    },
  };
}

function manyFiles(fileCount: number): Scenario {
  return {
    name: `many-${fileCount}`,
    title: `${fileCount.toLocaleString("en")} generated small files`,
    isDefault: false,
    prepare: async (workFolder, isSmall) =>
      backupTwiceAndRestore(await manyFilesCorpus(workFolder, isSmall ? fileCount / 100 : fileCount)),
  };
}

export const scenarios: readonly Scenario[] = [
  {
    name: "system",
    title: "/usr/share and the system's libraries",
    isDefault: true,
    prepare: async (_workFolder, isSmall) => backupTwiceAndRestore(systemCorpus(isSmall)),
  },
  {
    name: "modules",
    title: "four projects' node_modules with small differences",
    isDefault: true,
    prepare: async (workFolder, isSmall) => backupTwiceAndRestore(await modulesCorpus(workFolder, isSmall)),
  },
  { name: "large", title: "one 4 GB file, then 1 % of it changed", isDefault: true, prepare: prepareLarge },
  {
    name: "second-machine",
    title: "a second machine that lacks 2 % of the first one's directories",
    isDefault: true,
    prepare: prepareSecondMachine,
  },
  manyFiles(100_000),
  manyFiles(1_000_000),
];
