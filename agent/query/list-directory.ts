/** What a path of a snapshot holds. */
import { type ByteString, joinPath } from "#protocol/byte-string.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import type { OnDamage } from "#protocol/tree-diff.ts";
import { type TreeReader, isTreeDamage } from "#protocol/tree-reader.ts";
import { findInSnapshot, namesOfPath, type SnapshotTree } from "./snapshot-tree.ts";

export interface ListedObject {
  readonly path: ByteString;
  readonly object: TreeObject;
}

/**
 * The objects in the directory at `path`, or the object there when it is none; with `isRecursive` all below, a directory
 * before what it holds, names in byte order. Throws `path-unknown`.
 */
export async function* listPath(
  reader: TreeReader,
  snapshot: SnapshotTree,
  path: ByteString,
  isRecursive: boolean,
  onDamage: OnDamage,
): AsyncGenerator<ListedObject> {
  const found = await findInSnapshot(reader, snapshot, path);
  const clean = `/${namesOfPath(path).join("/")}` as ByteString;
  if ("top" in found) yield* listBelow(reader, found.top, clean, isRecursive, onDamage);
  else if (found.object.type === "directory") yield* listBelow(reader, found.object.node, clean, isRecursive, onDamage);
  else yield { path: clean, object: found.object };
}

/** Iterative, so that no depth overflows; holds one page of each level on the way down. */
async function* listBelow(
  reader: TreeReader,
  node: NodePointer,
  path: ByteString,
  isRecursive: boolean,
  onDamage: OnDamage,
): AsyncGenerator<ListedObject> {
  const levels = [{ path, objects: reader.objects(node) }];
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const next = await level.objects.next().catch((error: unknown) => {
      if (!isTreeDamage(error)) throw error;
      onDamage(level.path, error);
    });
    if (!next || next.done) {
      levels.pop();
      continue;
    }
    const listed = { path: joinPath(level.path, next.value.name), object: next.value };
    yield listed;
    if (isRecursive && listed.object.type === "directory")
      levels.push({ path: listed.path, objects: reader.objects(listed.object.node) });
  }
}
