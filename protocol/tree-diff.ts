/** What differs between two trees. Subtrees that both share are not read. */
import { type ByteString, joinPath } from "./byte-string.ts";
import type { CostorError } from "./errors.ts";
import { nodePointerKey } from "./node-pointer.ts";
import type { NodePointer, TreeObject } from "./tree.ts";
import { type TreeReader, isTreeDamage } from "./tree-reader.ts";
import type { ContentIdentity } from "./content-identity.ts";

/** `metadata`: the same content with other attributes. A directory whose own attributes are equal is not named. */
export type DifferenceKind = "added" | "removed" | "changed" | "metadata";

export interface Difference {
  readonly kind: DifferenceKind;
  readonly path: ByteString;
  readonly before?: TreeObject;
  readonly after?: TreeObject;
}

export interface DiffComponents {
  readonly reader: TreeReader;
  readonly contents: ContentIdentity;
}

interface Level {
  readonly path: ByteString;
  readonly before: AsyncIterator<TreeObject> | undefined;
  readonly after: AsyncIterator<TreeObject> | undefined;
  left: TreeObject | undefined;
  right: TreeObject | undefined;
}

/** Told of what could not be read, most often a directory, or not to its end; all else goes on. */
export type OnDamage = (path: ByteString, error: CostorError) => void;

export interface DiffInit {
  readonly onDamage: OnDamage;
  readonly signal?: AbortSignal;
}

/** Differences in byte order of names, a directory before what it holds. Iterative: no depth overflows. */
export async function* diffTrees(
  components: DiffComponents,
  before: NodePointer,
  after: NodePointer,
  { onDamage, signal }: DiffInit,
): AsyncGenerator<Difference> {
  const { reader, contents } = components;
  /** What is left of a directory that cannot be read cannot be compared with the other one either. */
  const advance = async (level: Level, takesLeft: boolean, takesRight: boolean): Promise<void> => {
    try {
      if (takesLeft) level.left = await nextOf(level.before);
      if (takesRight) level.right = await nextOf(level.after);
    } catch (error) {
      if (!isTreeDamage(error)) throw error;
      onDamage(level.path, error);
      level.left = level.right = undefined;
    }
  };
  const open = async (
    path: ByteString,
    left: NodePointer | undefined,
    right: NodePointer | undefined,
  ): Promise<Level> => {
    const level: Level = {
      path,
      before: left && reader.objects(left),
      after: right && reader.objects(right),
      left: undefined,
      right: undefined,
    };
    await advance(level, true, true);
    return level;
  };
  if (isSameNode(before, after)) return;
  const levels = [await open("/" as ByteString, before, after)];
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    signal?.throwIfAborted();
    const { left, right } = level;
    if (!left && !right) {
      levels.pop();
      continue;
    }
    const takesLeft = left !== undefined && (right === undefined || left.name <= right.name);
    const takesRight = right !== undefined && (left === undefined || right.name <= left.name);
    await advance(level, takesLeft, takesRight);
    const was = takesLeft ? left : undefined;
    const is = takesRight ? right : undefined;
    const path = joinPath(level.path, (is ?? was)!.name);
    const kind = await compareObjects(contents, was, is).catch((error: unknown) => {
      if (!isTreeDamage(error)) throw error;
      onDamage(path, error);
    });
    if (kind) yield { kind, path, ...(was ? { before: was } : {}), ...(is ? { after: is } : {}) };
    const wasNode = was?.type === "directory" ? was.node : undefined;
    const isNode = is?.type === "directory" ? is.node : undefined;
    if ((wasNode || isNode) && !(wasNode && isNode && isSameNode(wasNode, isNode)))
      levels.push(await open(path, wasNode, isNode));
  }
}

async function nextOf(objects: AsyncIterator<TreeObject> | undefined): Promise<TreeObject | undefined> {
  const next = await objects?.next();
  return next === undefined || next.done ? undefined : next.value;
}

function isSameNode(left: NodePointer, right: NodePointer): boolean {
  if ("inline" in left || "inline" in right) {
    return "inline" in left && "inline" in right && Buffer.compare(left.inline, right.inline) === 0;
  }
  return nodePointerKey(left) === nodePointerKey(right);
}

async function compareObjects(
  contents: ContentIdentity,
  before: TreeObject | undefined,
  after: TreeObject | undefined,
): Promise<DifferenceKind | undefined> {
  if (!before) return "added";
  if (!after) return "removed";
  if (!(await hasSameContent(contents, before, after))) return "changed";
  return hasSameAttributes(before, after) ? undefined : "metadata";
}

async function hasSameContent(contents: ContentIdentity, before: TreeObject, after: TreeObject): Promise<boolean> {
  if (before.type === "file" && after.type === "file") return contents.areEqual(before, after);
  if (before.type === "symlink" && after.type === "symlink") return before.target === after.target;
  if ("major" in before && "major" in after) {
    return before.type === after.type && before.major === after.major && before.minor === after.minor;
  }
  return before.type === after.type;
}

function hasSameAttributes(before: TreeObject, after: TreeObject): boolean {
  const [left, right] = [before.xattrs ?? [], after.xattrs ?? []];
  return (
    before.mode === after.mode &&
    before.uid === after.uid &&
    before.gid === after.gid &&
    before.user === after.user &&
    before.group === after.group &&
    before.mtimeNs === after.mtimeNs &&
    left.length === right.length &&
    left.every(
      (xattr, index) => xattr.name === right[index]!.name && Buffer.compare(xattr.value, right[index]!.value) === 0,
    )
  );
}
