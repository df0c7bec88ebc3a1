/** What a node reaches in one step: all that a site needs to check that a snapshot is complete. */
import type { PrimeReference } from "./sealing.ts";
import type { Content, ContentSlice, NodePointer } from "./tree.ts";
import { type TreeNode } from "./tree-decoding.ts";

export interface NodeLinks {
  /** Nodes one step below, inlined ones too. */
  readonly nodes: readonly NodePointer[];
  /** Reference pages, `depth` levels above the content. */
  readonly pages: readonly { readonly slice: ContentSlice; readonly depth: number }[];
  /** Primes of content that the node names itself. */
  readonly content: readonly PrimeReference[];
}

export function linksOfNode(node: TreeNode): NodeLinks {
  if ("pages" in node) return { nodes: node.pages.map((page) => ({ slice: page.slice })), pages: [], content: [] };
  const nodes: NodePointer[] = [];
  const pages: { slice: ContentSlice; depth: number }[] = [];
  const content = new Map<string, PrimeReference>();
  for (const object of node.objects) {
    if (object.type === "directory") nodes.push(object.node);
    if (object.type !== "file") continue;
    const held: Content = object.content;
    if ("slices" in held) for (const slice of held.slices) content.set(slice.prime.id, slice.prime);
    else for (const slice of held.pages) pages.push({ slice, depth: held.depth });
  }
  return { nodes, pages, content: [...content.values()] };
}
