/** `--delete`: removes from a directory what the snapshot does not hold of it. */
import type { ByteString } from "#protocol/byte-string.ts";
import type { Directory } from "#agent/files/directory.ts";
import { isOsError } from "#agent/files/os-error.ts";
import { removeEntry } from "#agent/files/remove-tree.ts";
import { isTemporaryName } from "#agent/files/temporary-name.ts";
import { describeFailure } from "./place-messages.ts";
import { type RestorePath, absolutePath } from "./restore-path.ts";
import type { RestoreTally } from "./restore-report.ts";

/** `directory` lies at `path`; `kept` are the names that the snapshot has in it. */
export function deleteExtra(
  directory: Directory,
  path: RestorePath | undefined,
  kept: ReadonlySet<ByteString>,
  tally: RestoreTally,
  signal: AbortSignal | undefined,
): void {
  const attempt = (at: RestorePath | undefined, action: () => void): void => {
    try {
      action();
    } catch (error) {
      if (!isOsError(error)) throw error;
      tally.fail(absolutePath(at), describeFailure(error));
    }
  };
  attempt(path, () => {
    for (const name of directory.names()) {
      // Files of this restore that are still under way have names of their own.
      if (kept.has(name) || isTemporaryName(name)) continue;
      attempt({ parent: path, name }, () => {
        removeEntry(directory, name, signal);
        tally.deletedCount++;
      });
    }
  });
}
