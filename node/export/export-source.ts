/** What every export reads from, and what every archive tells about itself while it is pulled. */
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { TreeReader } from "#protocol/tree-reader.ts";
import type { ContentSlice, NodePointer, TreeObject } from "#protocol/tree.ts";

export interface ExportSource {
  readonly tree: Pick<TreeReader, "node" | "objects" | "content" | "find">;
  /** The bytes of a slice of a content prime. Throws `prime-missing`, `prime-corrupt`. */
  openSlice(slice: ContentSlice): Promise<Buffer>;
}

/** What is exported: all that lies below a node, or one object with what lies below it. */
export type ExportStart = { readonly node: NodePointer } | { readonly object: TreeObject };

/** Counts of what was yielded so far; final once the stream has ended. */
export interface ExportTotals {
  entriesCount: number;
  archiveBytes: number;
}

/**
 * An archive that is made while it is pulled. The chunks must not be written to. A stream that fails throws and never
 * yields the archive's end; its consumer must not end the transfer as if it were whole.
 */
export interface ExportStream {
  readonly chunks: AsyncGenerator<Buffer, void, void>;
  readonly totals: Readonly<ExportTotals>;
}

/** Where an export of `path` below a snapshot's root begins; an empty path is the root. Throws `path-unknown`. */
export async function findExportStart(
  source: { readonly tree: Pick<ExportSource["tree"], "find"> },
  root: NodePointer,
  path: readonly ByteString[],
): Promise<ExportStart> {
  if (path.length === 0) return { node: root };
  const object = await source.tree.find(root, path);
  if (!object) throw new CostorError("path-unknown", "the snapshot holds nothing at this path");
  return { object };
}
