/** Draws files of a snapshot by chance, each by one way down from the top: the tree is not read as a whole. */
import type { Rng } from "#ledger/rng.ts";
import type { ExportSource } from "#node/export/export-source.ts";
import { type ByteString, joinPath } from "#protocol/byte-string.ts";
import type { FileObject, NodePointer, TreeObject } from "#protocol/tree.ts";

export interface ChosenFile {
  readonly path: ByteString;
  readonly file: FileObject;
}

/** Ways down that end where nothing is cost something too. */
const TRIES_PER_FILE = 4;

/** Up to `count` different ones. Throws what the source throws. */
export async function chooseFiles(
  { tree, rng }: { readonly tree: ExportSource["tree"]; readonly rng: Pick<Rng, "fraction"> },
  root: NodePointer,
  count: number,
  signal: AbortSignal,
): Promise<ChosenFile[]> {
  const chosen = new Map<ByteString, ChosenFile>();
  for (let tries = 0; tries < count * TRIES_PER_FILE && chosen.size < count; tries++) {
    signal.throwIfAborted();
    const file = await goDown({ tree, rng }, root);
    if (file !== undefined) chosen.set(file.path, file);
  }
  return [...chosen.values()];
}

async function goDown(
  { tree, rng }: { readonly tree: ExportSource["tree"]; readonly rng: Pick<Rng, "fraction"> },
  root: NodePointer,
): Promise<ChosenFile | undefined> {
  let path = "/" as ByteString;
  for (let node: NodePointer | undefined = root; node !== undefined;) {
    const object = await drawObject({ tree, rng }, node);
    if (object === undefined) return undefined;
    path = joinPath(path, object.name);
    if (object.type === "file") return { path, file: object };
    node = object.type === "directory" ? object.node : undefined;
  }
  return undefined;
}

/** One page of a wide directory, and one file or directory on it. */
async function drawObject(
  { tree, rng }: { readonly tree: ExportSource["tree"]; readonly rng: Pick<Rng, "fraction"> },
  pointer: NodePointer,
): Promise<TreeObject | undefined> {
  const draw = <T>(items: readonly T[]): T | undefined => items[Math.floor(rng.fraction() * items.length)];
  for (let node = await tree.node(pointer); ;) {
    if ("objects" in node) return draw(node.objects.filter(({ type }) => type === "file" || type === "directory"));
    const page = draw(node.pages);
    if (page === undefined) return undefined;
    node = await tree.node({ slice: page.slice });
  }
}
