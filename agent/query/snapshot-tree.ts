/** A snapshot as queries see it: its facts, its root, and paths in it. */
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { chooseSnapshotById } from "#protocol/snapshot-choice.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import type { TreeReader } from "#protocol/tree-reader.ts";

export interface SnapshotTree {
  readonly id: SnapshotId;
  readonly startedMs: number;
  /** The node of `/`. */
  readonly root: NodePointer;
}

/** The names of an absolute path. */
export const namesOfPath = (path: ByteString): ByteString[] =>
  path.split("/").filter((name) => name !== "") as ByteString[];

/** The object at `path`, or the node of `/` for the top. Throws `path-unknown`. */
export async function findInSnapshot(
  reader: TreeReader,
  snapshot: SnapshotTree,
  path: ByteString,
): Promise<{ readonly object: TreeObject } | { readonly top: NodePointer }> {
  const names = namesOfPath(path);
  if (names.length === 0) return { top: snapshot.root };
  const object = await reader.find(snapshot.root, names);
  if (object) return { object };
  throw new CostorError("path-unknown", `snapshot ${snapshot.id} holds no ${displayName(path)}`, {
    details: { snapshot: snapshot.id },
  });
}

/**
 * The snapshot that `text` names: an id, the beginning of one that no other has, or `latest`. `ids` are oldest first.
 * Throws as {@link chooseSnapshotById}.
 */
export function chooseSnapshot(text: string, ids: readonly SnapshotId[]): SnapshotId {
  if (text === "latest") {
    const latest = ids.at(-1);
    if (latest === undefined) throw new CostorError("snapshot-unknown", "there is no snapshot yet");
    return latest;
  }
  return chooseSnapshotById(text, ids);
}
