/** Files with several names: their content is read once for all names that the scan meets, as long as the file stays as it is. */
import { closeDescriptor } from "#agent/files/directory.ts";
import { statLinkCount } from "#agent/files/stat.ts";
import { linkKey } from "./capture-entry.ts";
import type { ContentJobs, ContentResult, FileToRead } from "./content-jobs.ts";

/** Inodes that are remembered; one that falls out is read again. */
const REMEMBERED_COUNT = 50_000;

type OnDone = (result: ContentResult) => void;

interface Inode {
  result?: ContentResult;
  readonly waiters: OnDone[];
}

export class LinkedInodes {
  private readonly jobs: Pick<ContentJobs, "submit">;
  private readonly inodes = new Map<string, Inode>();

  constructor(components: { jobs: Pick<ContentJobs, "submit"> }) {
    this.jobs = components.jobs;
  }

  /**
   * Takes over the descriptor. Calls `onDone` with the content of the file that `stat` is the record of: at once or later, by
   * what another name brought, or by having it read. A file that changed since another name was met is read anew.
   */
  submit(file: FileToRead, stat: Buffer, onDone: OnDone): void {
    if (statLinkCount(stat) < 2) return this.jobs.submit(file, onDone);
    const key = linkKey(stat) + Buffer.from(file.signature).toString("latin1");
    const known = this.inodes.get(key);
    if (known) {
      closeDescriptor(file.descriptor);
      if (known.result) onDone(known.result);
      else known.waiters.push(onDone);
      return;
    }
    const inode: Inode = { waiters: [onDone] };
    if (this.inodes.size >= REMEMBERED_COUNT) this.inodes.delete(this.inodes.keys().next().value!);
    this.inodes.set(key, inode);
    this.jobs.submit(file, (result) => {
      inode.result = result;
      for (const waiter of inode.waiters.splice(0)) waiter(result);
    });
  }
}
