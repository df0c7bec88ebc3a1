/** Files with several names: their content is read once for all names that the scan meets. */
import type { ContentResult } from "./content-jobs.ts";

/** Inodes that are remembered; one that falls out is read again. */
const REMEMBERED_COUNT = 50_000;

type OnDone = (result: ContentResult) => void;

interface Inode {
  result?: ContentResult;
  readonly waiters: OnDone[];
}

export class LinkedInodes {
  private readonly inodes = new Map<string, Inode>();

  /**
   * Calls `onDone` with the content of the inode `key`: at once or later when another name brought it, else `read` is
   * called to read it. Gives whether `read` was called.
   */
  readOnce(key: string, onDone: OnDone, read: (onDone: OnDone) => void): boolean {
    const known = this.inodes.get(key);
    if (known) {
      if (known.result) onDone(known.result);
      else known.waiters.push(onDone);
      return false;
    }
    const inode: Inode = { waiters: [onDone] };
    if (this.inodes.size >= REMEMBERED_COUNT) this.inodes.delete(this.inodes.keys().next().value!);
    this.inodes.set(key, inode);
    read((result) => {
      inode.result = result;
      for (const waiter of inode.waiters.splice(0)) waiter(result);
    });
    return true;
  }
}
