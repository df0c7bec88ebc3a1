/** What a backup would do: the same walk and comparison, but nothing is read, sent or remembered. */
import { deriveScope } from "#protocol/scope.ts";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import type { AgentDatabase } from "./agent-database.ts";
import { type BackupProgress, type BackupReport, Findings } from "./backup-report.ts";
import type { ContentResult, FileToRead } from "./content-jobs.ts";
import { Scan, type ScanInit } from "./scan.ts";
import { TreeSealer } from "./tree-sealer.ts";
import { Uploader } from "./uploader.ts";

/** Counts what would be read. */
class CountingJobs {
  readBytes = 0;
  readonly isBusy = false;

  submit(file: FileToRead, onDone: (result: ContentResult) => void): void {
    closeDescriptor(file.descriptor);
    this.readBytes += file.sizeBytes;
    onDone({ state: "read", sizeBytes: file.sizeBytes, content: { slices: [] }, changed: false });
  }

  flush(): void {}

  async room(): Promise<void> {}

  async progress(): Promise<boolean> {
    return false;
  }
}

export async function rehearseBackup(
  components: { database: AgentDatabase; config: AgentConfig; progress: BackupProgress },
  init: ScanInit,
): Promise<BackupReport> {
  const startedMs = Date.now();
  const scope = deriveScope(components.config.agent.scopeSecret);
  const uploader = new Uploader(
    { client: { missing: async (ids) => ids.map(() => false), sendPrimes: async () => undefined } },
    { askFirst: false, signal: init.signal },
  );
  const jobs = new CountingJobs();
  const findings = new Findings();
  const trees = new TreeSealer({ scope, uploader });
  const writes = { add: () => undefined, release: () => undefined, room: async () => undefined };
  const bundles = { writes: () => [] };
  const scan = new Scan({ ...components, jobs, trees, uploader, writes, bundles, scope, findings }, init);
  const { totals } = await scan.run();
  return {
    ...totals,
    readFilesCount: scan.readFilesCount,
    readBytes: jobs.readBytes,
    sentBytes: 0,
    sentPrimesCount: 0,
    ...findings.summary(),
    durationMs: Date.now() - startedMs,
  };
}
