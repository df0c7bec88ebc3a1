/**
 * Walks a subtree depth first, names in byte order, a directory before what it holds. Memory is bounded by one page a
 * level of at most `OPEN_LEVELS_COUNT` levels, plus the names on the way down: ancestors further up are closed, and opened
 * again behind the name where the walk left them.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import type { ExportSource, ExportStart } from "./export-source.ts";

const OPEN_LEVELS_COUNT = 32;

/** A place in the exported tree, as a chain to its top. Cheaper to keep than a path: directories are shared. */
export interface Place {
  readonly parent: Place | undefined;
  readonly name: ByteString;
}

export interface SubtreeEntry {
  readonly place: Place;
  /** Names from the top of the export down, joined by `/`. Made anew for each entry; keep the place instead. */
  readonly path: ByteString;
  readonly object: TreeObject;
}

/** The names from the top down to `place`, joined by `/`. */
export function pathOfPlace(place: Place): ByteString {
  const names: ByteString[] = [];
  for (let at: Place | undefined = place; at; at = at.parent) names.push(at.name);
  return names.reverse().join("/") as ByteString;
}

interface Level {
  readonly place: Place | undefined;
  readonly node: NodePointer;
  /** The name that was taken last; undefined at the start. */
  lastName: ByteString | undefined;
  /** Undefined while the level is closed. */
  objects: AsyncIterator<TreeObject> | undefined;
}

/** Throws the signal's reason when it is aborted, and whatever the source throws. */
export async function* walkSubtree(
  tree: ExportSource["tree"],
  start: ExportStart,
  signal?: AbortSignal,
): AsyncGenerator<SubtreeEntry, void, void> {
  const levels: Level[] = [];
  const descend = (node: NodePointer, place: Place | undefined): void => {
    levels.push({ place, node, lastName: undefined, objects: undefined });
    const closing = levels[levels.length - 1 - OPEN_LEVELS_COUNT];
    if (closing) closing.objects = undefined;
  };
  if ("object" in start) {
    const { object } = start;
    const place = { parent: undefined, name: object.name };
    yield { place, path: object.name, object };
    if (object.type === "directory") descend(object.node, place);
  } else {
    descend(start.node, undefined);
  }
  let prefix: { readonly level: Level; readonly path: string } | undefined;
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    signal?.throwIfAborted();
    level.objects ??= objectsAfter(tree, level.node, level.lastName);
    const next = await level.objects.next();
    if (next.done) {
      levels.pop();
      continue;
    }
    const object = next.value;
    level.lastName = object.name;
    const place: Place = { parent: level.place, name: object.name };
    if (prefix?.level !== level) prefix = { level, path: level.place ? `${pathOfPlace(level.place)}/` : "" };
    yield { place, path: (prefix.path + object.name) as ByteString, object };
    if (object.type === "directory") descend(object.node, place);
  }
}

/** The objects of a directory behind the name `after`; opens only the pages that can hold them. */
async function* objectsAfter(
  tree: ExportSource["tree"],
  pointer: NodePointer,
  after: ByteString | undefined,
): AsyncGenerator<TreeObject, void, void> {
  if (after === undefined) {
    yield* tree.objects(pointer);
    return;
  }
  const node = await tree.node(pointer);
  if ("objects" in node) {
    for (const object of node.objects) if (object.name > after) yield object;
    return;
  }
  const first = Math.max(
    node.pages.findLastIndex((page) => page.firstName <= after),
    0,
  );
  for (const [index, page] of node.pages.entries()) {
    if (index === first) yield* objectsAfter(tree, { slice: page.slice }, after);
    if (index > first) yield* tree.objects({ slice: page.slice });
  }
}
