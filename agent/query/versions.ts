/** The versions of one path over all snapshots: each distinct content once, with the first and the last snapshot that holds it. */
import type { ByteString } from "#protocol/byte-string.ts";
import { nodePointerKey } from "#protocol/node-pointer.ts";
import type { TreeObject } from "#protocol/tree.ts";
import type { TreeReader } from "#protocol/tree-reader.ts";
import type { ContentIdentity } from "#protocol/content-identity.ts";
import { namesOfPath, type SnapshotTree } from "./snapshot-tree.ts";

export interface PathVersion {
  /** The object as the newest snapshot of this version has it. */
  readonly object: TreeObject;
  /** Indexes into the given snapshots. */
  readonly first: number;
  readonly last: number;
  /** Snapshots that hold it; fewer than lie between first and last when another version came between. */
  readonly snapshotsCount: number;
}

export interface VersionsComponents {
  readonly reader: TreeReader;
  readonly contents: ContentIdentity;
}

/** Oldest first, by their first snapshot. `snapshots` are oldest first; those without the path are passed over. */
export async function listVersions(
  components: VersionsComponents,
  snapshots: readonly SnapshotTree[],
  path: ByteString,
  signal?: AbortSignal,
): Promise<PathVersion[]> {
  const names = namesOfPath(path);
  const versions = new Map<string, { object: TreeObject; first: number; last: number; snapshotsCount: number }>();
  let previous: { rootKey: string | undefined; identity: string | undefined } | undefined;
  for (const [index, snapshot] of snapshots.entries()) {
    signal?.throwIfAborted();
    const rootKey = nodePointerKey(snapshot.root);
    let identity: string | undefined;
    let object: TreeObject | undefined;
    if (previous && rootKey !== undefined && rootKey === previous.rootKey) {
      identity = previous.identity;
    } else {
      object = names.length === 0 ? undefined : await components.reader.find(snapshot.root, names);
      identity = object && (await identityOf(components.contents, object));
    }
    previous = { rootKey, identity };
    if (identity === undefined) continue;
    const version = versions.get(identity);
    if (!version) {
      versions.set(identity, { object: object!, first: index, last: index, snapshotsCount: 1 });
      continue;
    }
    version.object = object ?? version.object;
    version.last = index;
    version.snapshotsCount++;
  }
  return [...versions.values()];
}

/** Equal for equal contents: bytes of a file, target of a symlink, tree of a directory. */
async function identityOf(contents: ContentIdentity, object: TreeObject): Promise<string> {
  switch (object.type) {
    case "file":
      return `file ${await contents.of(object)}`;
    case "directory":
      return `directory ${nodePointerKey(object.node) ?? Buffer.from((object.node as { inline: Uint8Array }).inline).toString("base64")}`;
    case "symlink":
      return `symlink ${object.target}`;
    case "fifo":
      return "fifo";
    default:
      return `${object.type} ${object.major}:${object.minor}`;
  }
}
