/**
 * An agent of a site under fault. Its commands run as processes that may be killed, or in this process, where waiting
 * between attempts can be made short.
 */
import { join } from "node:path";
import { runBackup } from "#agent/backup/backup.ts";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import { loadAgentConfig } from "#agent/config/config-file.ts";
import { runRestore } from "#agent/restore/restore.ts";
import { type Clock, systemClock } from "#agent/schedule/clock.ts";
import { SiteClient } from "#agent/site-client/site-client.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { removeTrees, scratchDirectory } from "#test/support/scratch.ts";
import { type CommandEnd, type CommandInit, type RunningCommand, runCommand, startCommand } from "./command.ts";
import type { SiteUnderFault } from "./site-under-fault.ts";
import { type TreeManifest, treeManifest } from "./tree-manifest.ts";

/** Time in which an agent that gives up after 15 s does so in a quarter of a second. */
const hurriedRatio = 60;
const hurriedClock: Clock = {
  nowMs: () => systemClock.nowMs() * hurriedRatio,
  sleep: (ms, signal) => systemClock.sleep(ms / hurriedRatio, signal),
};

export interface AgentInit {
  /** Where the site is found, when that is a proxy. */
  readonly address?: string;
  /** How long it tries to reach a site that is gone. */
  readonly reconnectForMs?: number;
}

export class AgentUnderFault implements Disposable {
  readonly configFile: string;
  readonly directory: string;
  readonly config: AgentConfig;
  private readonly clients: SiteClient[] = [];
  /** For questions in this process. */
  readonly reading: SiteClient;

  private constructor(directory: string, configFile: string, config: AgentConfig) {
    this.directory = directory;
    this.configFile = configFile;
    this.config = config;
    this.reading = this.client();
  }

  /** A new machine at a running site. */
  static async enrol(site: Pick<SiteUnderFault, "enrolToken">, name = "machine"): Promise<AgentUnderFault> {
    const directory = await scratchDirectory("fault-agent");
    const configFile = join(directory, "agent.yaml");
    const end = await runCommand(["agent", "enrol", await site.enrolToken(name), "--config", configFile]);
    if (end.code !== 0) throw new Error(end.stderr);
    return new AgentUnderFault(directory, configFile, await loadAgentConfig(configFile));
  }

  /** The directory of Level's files. */
  get databaseDirectory(): string {
    return join(this.config.databaseDirectory, "index");
  }

  startBackup(paths: readonly string[], init?: CommandInit): RunningCommand {
    return startCommand(["agent", "backup", "--config", this.configFile, "--json", ...paths], init);
  }

  backup(...paths: string[]): Promise<CommandEnd> {
    return this.startBackup(paths).ended;
  }

  /** A backup that must succeed; its snapshot. */
  async backupWhole(...paths: string[]): Promise<SnapshotId> {
    const end = await this.backup(...paths);
    if (end.code !== 0) throw new Error(`the backup ended with ${end.code}: ${end.stderr}`);
    return end.json<{ snapshotId: SnapshotId }>().snapshotId;
  }

  restore(snapshot: string, to: string, words?: readonly string[], init?: CommandInit): Promise<CommandEnd> {
    return this.startRestore(snapshot, to, words, init).ended;
  }

  startRestore(snapshot: string, to: string, words: readonly string[] = [], init?: CommandInit): RunningCommand {
    const parameters = ["--config", this.configFile, "--to", to, "--json", ...words];
    return startCommand(["agent", "restore", snapshot, ...parameters], init);
  }

  /** A client in this process. `isHurried`: its waits, and its patience, are a sixtieth. */
  client({ isHurried = false, address, reconnectForMs }: AgentInit & { isHurried?: boolean } = {}): SiteClient {
    const { site, agent } = this.config;
    const client = new SiteClient(
      { site: address === undefined ? site : siteAt(site, address), token: agent.token, reconnectForMs },
      { clock: isHurried ? hurriedClock : systemClock, random: Math.random },
    );
    this.clients.push(client);
    return client;
  }

  /** A backup in this process that gives up soon. */
  async hurriedBackup(paths: readonly string[], init: AgentInit & { client?: SiteClient } = {}): Promise<BackupReport> {
    const client = init.client ?? this.client({ isHurried: true, ...init });
    return runBackup({ config: this.config, client, paths: paths.map(byteStringFromText) });
  }

  /** What a snapshot holds of `path`, by way of a restore in this process. */
  async restored(snapshotId: SnapshotId, path: string, client: SiteClient = this.reading): Promise<TreeManifest> {
    const to = await scratchDirectory("fault-restored");
    try {
      const report = await runRestore({
        config: { ...this.config, workersCount: 1 },
        client,
        snapshotId,
        paths: [],
        to: byteStringFromText(to),
        overwrite: "never",
        deleteExtra: false,
        deleteFromPartial: false,
        dryRun: false,
        verify: false,
      });
      if (report.failedCount > 0) throw report.failed[0]!;
      return treeManifest(join(to, path));
    } finally {
      removeTrees([to]);
    }
  }

  [Symbol.dispose](): void {
    for (const client of this.clients) client[Symbol.dispose]();
  }
}

const siteAt = (site: AgentConfig["site"], address: string): AgentConfig["site"] => {
  const [host, port] = address.split(":");
  return { ...site, addresses: [{ host: host!, port: Number(port) }] };
};
