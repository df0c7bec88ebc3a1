/**
 * A directory of the restore: while files of it are under way in workers it has a descriptor of its own, and its
 * attributes go on when the walk has left it and nothing is under way any more.
 */
import type { Directory } from "#agent/files/directory.ts";

export class HeldDirectory {
  private own: Directory | undefined;
  private pendingCount = 0;
  private isLeft = false;
  private onComplete: (directory: Directory) => void;

  /** `onComplete` is called once, when everything in the directory is done. */
  constructor(onComplete: (directory: Directory) => void) {
    this.onComplete = onComplete;
  }

  /** A file in it is under way; `current` is the directory, open. */
  hold(current: Directory): Directory {
    this.own ??= current.duplicate();
    this.pendingCount++;
    return this.own;
  }

  release(): void {
    this.pendingCount--;
    if (this.isLeft && this.pendingCount === 0) this.complete(this.own!);
    else if (this.pendingCount === 0) this.closeOwn();
  }

  /** The walk leaves it; `current` is the directory, open. */
  leave(current: Directory): void {
    this.isLeft = true;
    if (this.pendingCount === 0) this.complete(current);
  }

  /** It cannot be reached any more: its attributes stay as they are. */
  abandon(): void {
    this.onComplete = () => undefined;
    this.isLeft = true;
    if (this.pendingCount === 0) this.closeOwn();
  }

  private complete(directory: Directory): void {
    this.onComplete(directory);
    this.closeOwn();
  }

  private closeOwn(): void {
    this.own?.close();
    this.own = undefined;
  }
}
