/** `--delete`: removes what the snapshot does not hold, but not what no snapshot would hold. */
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import { createPathFilter, keepEverything } from "#agent/config/path-filter.ts";
import type { Directory } from "#agent/files/directory.ts";
import { isOsError } from "#agent/files/os-error.ts";
import { type Removal, clearName, removeEntry } from "#agent/files/remove-tree.ts";
import { openRoot } from "#agent/files/root-path.ts";
import type { FileStat } from "#agent/files/stat.ts";
import { isTemporaryName } from "#agent/files/temporary-name.ts";
import type { DirectoryStack } from "#agent/files/walk.ts";
import { describeFailure } from "./place-messages.ts";
import { type RestorePath, absolutePath, namesOf } from "./restore-path.ts";
import type { RestoreTally } from "./restore-report.ts";

/** Whether an object stays, `path` being where it was on the machine. */
export type Protection = (path: () => ByteString, stat: FileStat) => boolean;

/** What protection goes by; there is no database where no agent of this machine restores. */
export type ProtectionConfig = Pick<AgentConfig, "include" | "exclude"> & {
  readonly databaseDirectory: string | undefined;
};

/** Sockets, what the configuration leaves out of backups, and the agent's own database. */
export function createProtection({ include, exclude, databaseDirectory }: ProtectionConfig): Protection {
  const filter = createPathFilter(include, exclude);
  const own = databaseDirectory === undefined ? undefined : statIfThere(byteStringFromText(databaseDirectory));
  return (path, stat) =>
    stat.type === "socket" ||
    (stat.inode === own?.inode && stat.device === own.device) ||
    (filter !== keepEverything && !filter(path().slice(1), stat.type === "directory"));
}

function statIfThere(path: ByteString): FileStat | undefined {
  try {
    using directory = openRoot(path);
    return directory.statSelf();
  } catch (error) {
    if (!isOsError(error)) throw error;
    return undefined;
  }
}

export class Deleting {
  private readonly tally: RestoreTally;
  private readonly protects: Protection;
  private readonly removal: Omit<Removal, "keeps">;

  /** A rehearsal only counts. */
  constructor(components: { tally: RestoreTally; protects: Protection }, removal: Omit<Removal, "keeps">) {
    this.tally = components.tally;
    this.protects = components.protects;
    this.removal = removal;
  }

  /**
   * Removes from the current directory, which is at `path`, all but the names that the snapshot has there. A mount point of
   * which it has none stays as it is: backups keep mount points that they do not pass as empty directories.
   */
  removeExtra(stack: DirectoryStack, path: RestorePath | undefined, names: ReadonlySet<ByteString>): void {
    if (names.size === 0 && stack.isMountPoint) return;
    this.attempt(path, () => {
      for (const name of stack.current.names()) {
        // Files of this restore that are still under way have names of their own.
        if (names.has(name) || isTemporaryName(name)) continue;
        const at = { parent: path, name };
        this.attempt(at, () => {
          if (removeEntry(stack.current, name, this.removalAt(at))) this.tally.deletedCount++;
        });
      }
    });
  }

  /** Removes the directory at `path`, to make room. ENOTEMPTY when something in it stays. */
  removeTree(parent: Directory, path: RestorePath): void {
    clearName(parent, path.name, this.removalAt(path));
  }

  private removalAt({ parent }: RestorePath): Removal {
    const pathOf = (names: ByteString[]): ByteString => `/${[...namesOf(parent), ...names].join("/")}` as ByteString;
    return { ...this.removal, keeps: (names, stat) => this.protects(() => pathOf(names()), stat) };
  }

  private attempt(path: RestorePath | undefined, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!isOsError(error)) throw error;
      this.tally.fail(absolutePath(path), describeFailure(error));
    }
  }
}
