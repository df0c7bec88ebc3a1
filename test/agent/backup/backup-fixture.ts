/** One machine with a directory to back up, its agent's database, and a site in memory; no TLS, no processes. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import { type BackupInit, runBackup } from "#agent/backup/backup.ts";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { type RestoreInit, runRestore } from "#agent/restore/restore.ts";
import type { RestoreReport } from "#agent/restore/restore-report.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { parseAgentId, parseSiteId } from "#protocol/ids.ts";
import { deriveScope } from "#protocol/scope.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { MemorySite } from "#test/support/memory-site.ts";
import { scratchDirectory } from "#test/support/scratch.ts";

export const scopeSecret = Buffer.alloc(32, 7);
export const testScope = deriveScope(scopeSecret);
/** Of content hashes. */
export const contentKey = Buffer.alloc(32, 9);

/** What has just been made is not too young for a clock that is a minute ahead. */
const AHEAD_MS = 60_000;

export function configForTest(databaseDirectory: string, changes: Partial<AgentConfig> = {}): AgentConfig {
  return {
    file: "/nowhere/agent.yaml",
    site: { addresses: [], siteId: parseSiteId("ab".repeat(32)), caCertificate: "" },
    agent: { id: parseAgentId("01890a5d-ac96-774b-bcce-b302099a8057"), token: "token", scopeSecret },
    job: "test",
    roots: [],
    include: [],
    exclude: [],
    oneFileSystem: false,
    workersCount: 1,
    databaseDirectory,
    restore: { allowedDirectories: [], allowOverwrite: false, allowSetuid: false, allowDevices: false },
    warnings: [],
    ...changes,
  };
}

export class TestMachine {
  readonly site = new MemorySite();
  readonly directory: string;
  /** The directory that is backed up. */
  readonly source: string;
  private restoresCount = 0;

  private constructor(directory: string) {
    this.directory = directory;
    this.source = join(directory, "source");
    mkdirSync(this.source);
    mkdirSync(this.databaseDirectory);
  }

  static async make(name: string): Promise<TestMachine> {
    return new TestMachine(await scratchDirectory(name));
  }

  get databaseDirectory(): string {
    return join(this.directory, "database");
  }

  path(...names: string[]): string {
    return join(this.source, ...names);
  }

  /** Backs up the source, or `paths`; the site's counters start anew. */
  async backUp(
    changes: Partial<Omit<BackupInit, "paths" | "config">> & {
      paths?: readonly string[];
      config?: Partial<AgentConfig>;
    } = {},
  ): Promise<BackupReport> {
    this.site.forgetCounts();
    return runBackup({
      client: this.site,
      nowMs: () => Date.now() + AHEAD_MS,
      ...changes,
      config: configForTest(this.databaseDirectory, changes.config),
      paths: (changes.paths ?? [this.source]).map(byteStringFromText),
    });
  }

  /** Restores the newest snapshot into a new directory. */
  async restore(changes: Partial<RestoreInit> = {}): Promise<{ report: RestoreReport; to: string }> {
    const to = join(this.directory, `restored-${++this.restoresCount}`);
    const report = await runRestore({
      config: configForTest(this.databaseDirectory),
      client: this.site,
      snapshotId: this.site.newestId,
      paths: [],
      to: byteStringFromText(to),
      overwrite: "never",
      deleteExtra: false,
      deleteFromPartial: false,
      dryRun: false,
      verify: false,
      ...changes,
    });
    return { report, to };
  }

  /** What differs between the source, or `path`, and what a restore of the newest snapshot brings. */
  async restoreDifferences(path: string = this.source): Promise<readonly string[]> {
    const { report, to } = await this.restore();
    const failures = report.failed.map((failure) => `${failure.path}: ${failure.code}`);
    return [...failures, ...treeDifferences(path, join(to, path))];
  }
}

/** Runs a shell command with the source as its working directory. */
export function shell(machine: TestMachine, command: string): void {
  execFileSync("bash", ["-euc", command], { cwd: machine.source, stdio: ["ignore", "ignore", "inherit"] });
}

const NOBODY = 65_534;

/**
 * Runs `action` without root's rights: as nobody, in these further groups, to whom the machine's directory is given, when this process is root.
 * What lies above that directory can be passed, not read.
 */
export async function asNobody<T>(
  machine: TestMachine,
  action: () => Promise<T>,
  furtherGroups: readonly number[] = [],
): Promise<T> {
  if (process.geteuid!() !== 0) return action();
  // Once only: it changes every ctime.
  if (statSync(machine.source).uid !== NOBODY)
    execFileSync("chown", ["-R", "--no-dereference", `${NOBODY}:${NOBODY}`, machine.directory]);
  const above = dirname(machine.directory);
  if ((statSync(above).mode & 0o001) === 0) chmodSync(above, 0o711);
  const groups = process.getgroups!();
  process.setgroups!([NOBODY, ...furtherGroups]);
  process.setegid!(NOBODY);
  process.seteuid!(NOBODY);
  try {
    return await action();
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
    process.setgroups!(groups);
  }
}
