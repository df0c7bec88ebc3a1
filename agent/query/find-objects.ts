/**
 * Searches all snapshots at once. A subtree that several snapshots share is read and searched once: what was found in it
 * is kept by its node, and results are a graph that shares as the trees do.
 */
import { type ByteString, joinPath } from "#protocol/byte-string.ts";
import { nodePointerKey } from "#protocol/node-pointer.ts";
import type { NodePointer, ObjectType, TreeObject } from "#protocol/tree.ts";
import type { TreeReader } from "#protocol/tree-reader.ts";
import type { NamePattern } from "./name-pattern.ts";
import type { SnapshotTree } from "./snapshot-tree.ts";

/** A path that matched, with the snapshots that hold it: indexes into the given ones, as ranges without gaps. */
export interface FoundPath {
  readonly path: ByteString;
  /** What it is in the newest of them. */
  readonly type: ObjectType;
  readonly sizeBytes?: number;
  readonly mtimeNs: bigint;
  readonly ranges: readonly { readonly first: number; readonly last: number }[];
}

/** What was found in one node and below it. */
interface Findings {
  readonly matches: TreeObject[];
  readonly below: { readonly name: ByteString; readonly findings: Findings }[];
}

interface Level {
  readonly path: ByteString;
  readonly name: ByteString;
  readonly key: string | undefined;
  readonly objects: AsyncIterator<TreeObject>;
  readonly findings: Findings;
}

export interface FindInit {
  readonly signal?: AbortSignal;
  /** Called with each snapshot's index before it is searched. */
  readonly onSnapshot?: (index: number) => void;
}

/** Paths in byte order. `snapshots` are oldest first. */
export async function findObjects(
  reader: TreeReader,
  snapshots: readonly SnapshotTree[],
  pattern: NamePattern,
  init: FindInit = {},
): Promise<FoundPath[]> {
  const known = new Map<string, Findings>();
  const found = new Map<ByteString, { newest: TreeObject; ranges: { first: number; last: number }[] }>();
  let previous: Findings | undefined;
  let previousPaths: ByteString[] = [];
  for (const [index, snapshot] of snapshots.entries()) {
    init.onSnapshot?.(index);
    const findings = await searchNode(reader, snapshot.root, pattern, known, init.signal);
    // Nothing changed since the last snapshot: every range just grows.
    if (findings === previous) {
      for (const path of previousPaths) found.get(path)!.ranges.at(-1)!.last = index;
      continue;
    }
    previous = findings;
    previousPaths = [];
    for (const { path, object } of listFindings(findings)) {
      previousPaths.push(path);
      let entry = found.get(path);
      if (!entry) found.set(path, (entry = { newest: object, ranges: [] }));
      entry.newest = object;
      const range = entry.ranges.at(-1);
      if (range && range.last === index - 1) range.last = index;
      else entry.ranges.push({ first: index, last: index });
    }
  }
  const sorted = [...found].sort(([left], [right]) => (left < right ? -1 : 1));
  return sorted.map(([path, { newest, ranges }]) => ({
    path,
    type: newest.type,
    ...(newest.type === "file" ? { sizeBytes: newest.sizeBytes } : {}),
    mtimeNs: newest.mtimeNs,
    ranges,
  }));
}

/** A pattern for paths makes what a node holds depend on where it lies, so the place is part of its key then. */
const keyOf = (node: NodePointer, path: ByteString, pattern: NamePattern): string | undefined => {
  const key = nodePointerKey(node);
  return key !== undefined && pattern.isForPaths ? `${key} ${path}` : key;
};

/** Iterative: `levels` is the way from the root down to the node that is read. */
async function searchNode(
  reader: TreeReader,
  root: NodePointer,
  pattern: NamePattern,
  known: Map<string, Findings>,
  signal?: AbortSignal,
): Promise<Findings> {
  const top = "/" as ByteString;
  const enter = (node: NodePointer, path: ByteString, name: ByteString): Level | Findings => {
    const key = keyOf(node, path, pattern);
    return (
      (key === undefined ? undefined : known.get(key)) ?? {
        path,
        name,
        key,
        objects: reader.objects(node),
        findings: { matches: [], below: [] },
      }
    );
  };
  const first = enter(root, top, top);
  if (!("objects" in first)) return first;
  const levels: Level[] = [first];
  const note = (parent: Level, name: ByteString, findings: Findings): void => {
    if (findings.matches.length > 0 || findings.below.length > 0) parent.findings.below.push({ name, findings });
  };
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const next = await level.objects.next();
    if (next.done) {
      signal?.throwIfAborted();
      levels.pop();
      if (level.key !== undefined) known.set(level.key, level.findings);
      const parent = levels.at(-1);
      if (parent) note(parent, level.name, level.findings);
      continue;
    }
    const object = next.value;
    const path = pattern.isForPaths || object.type === "directory" ? joinPath(level.path, object.name) : object.name;
    if (pattern.matches(pattern.isForPaths ? path : object.name)) level.findings.matches.push(withoutContent(object));
    if (object.type !== "directory") continue;
    const child = enter(object.node, path, object.name);
    if ("objects" in child) levels.push(child);
    else note(level, object.name, child);
  }
  return first.findings;
}

const nothing: NodePointer = { inline: new Uint8Array() };

/** Matches are kept long: without what only a restore needs. */
function withoutContent(object: TreeObject): TreeObject {
  const { xattrs: _, ...rest } = object;
  if (rest.type === "file") return { ...rest, content: { slices: [] }, extents: undefined };
  return rest.type === "directory" ? { ...rest, node: nothing } : rest;
}

function* listFindings(findings: Findings): Generator<{ path: ByteString; object: TreeObject }> {
  const waiting = [{ path: "/" as ByteString, findings }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    for (const object of next.findings.matches) yield { path: joinPath(next.path, object.name), object };
    for (const { name, findings: below } of next.findings.below)
      waiting.push({ path: joinPath(next.path, name), findings: below });
  }
}
