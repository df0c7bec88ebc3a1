/** Seals tree nodes and reference pages and hands them to the uploader. Synchronous: trees are small. */
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Scope } from "#protocol/scope.ts";
import { sealPrime } from "#protocol/sealing.ts";
import {
  type Content,
  type ContentSlice,
  type DirectoryPage,
  type NodePointer,
  encodeIndex,
  encodeReferencePage,
} from "#protocol/tree.ts";
import { endsReferencePage } from "#protocol/tree-building.ts";
import type { Uploader } from "./uploader.ts";

/** Most pages in one index; a directory with more gets an index over indexes. */
const INDEX_PAGES_COUNT = 4096;

export class TreeSealer {
  private readonly scope: Scope;
  private readonly uploader: Uploader;
  private readonly formerRootId: PrimeId | undefined;

  /** `formerRootId`: the prime of the last snapshot's root, which the site has. */
  constructor(components: { scope: Scope; uploader: Uploader }, init: { formerRootId?: PrimeId | undefined } = {}) {
    this.scope = components.scope;
    this.uploader = components.uploader;
    this.formerRootId = init.formerRootId;
  }

  private seal(bytes: Uint8Array): ContentSlice {
    const { reference, stored } = sealPrime(bytes, "tree", this.scope, limits.paddedMinBytes);
    // No record is kept of `/` above the roots: its node is made anew each time.
    if (reference.id !== this.formerRootId) this.uploader.add({ id: reference.id, stored });
    return { prime: reference, offsetBytes: 0, lengthBytes: bytes.length };
  }

  /** A node small and flat enough is inlined in its parent; another one becomes a tree prime. */
  sealNode(leaf: Uint8Array, inlinedLevelsCount = 0): NodePointer {
    const isInlined = leaf.length <= limits.treeInlineBytes && inlinedLevelsCount < limits.treeInlinedLevelsCount;
    return isInlined ? { inline: leaf } : { slice: this.seal(leaf) };
  }

  /** The root as a commit says it: a longer one becomes a tree prime, since the ledgers of all sites keep what is inlined. */
  sealRoot(root: NodePointer): NodePointer {
    return "inline" in root && root.inline.length > limits.rootInlineBytes ? { slice: this.seal(root.inline) } : root;
  }

  /** A page of a wide directory. */
  sealPage(leaf: Uint8Array): ContentSlice {
    return this.seal(leaf);
  }

  /** The node of a wide directory. */
  sealIndex(pages: readonly DirectoryPage[]): NodePointer {
    if (pages.length <= INDEX_PAGES_COUNT) return this.sealNode(encodeIndex(pages));
    const upper: DirectoryPage[] = [];
    for (let at = 0; at < pages.length; at += INDEX_PAGES_COUNT) {
      const part = pages.slice(at, at + INDEX_PAGES_COUNT);
      upper.push({ firstName: part[0]!.firstName, slice: this.seal(encodeIndex(part)) });
    }
    return this.sealIndex(upper);
  }

  /** A short list of slices as it is; a long one in reference pages. */
  sealReferences(slices: readonly ContentSlice[]): Content {
    let list = slices;
    let depth = 0;
    while (list.length > limits.fileReferencesInlineCount) {
      list = this.sealReferencePages(list);
      depth++;
    }
    return depth === 0 ? { slices: list } : { pages: list, depth };
  }

  private sealReferencePages(slices: readonly ContentSlice[]): ContentSlice[] {
    const pages: ContentSlice[] = [];
    let start = 0;
    slices.forEach((slice, index) => {
      const isLast = index === slices.length - 1;
      if (!isLast && !endsReferencePage(slice, index + 1 - start)) return;
      pages.push(this.seal(encodeReferencePage(slices.slice(start, index + 1))));
      start = index + 1;
    });
    return pages;
  }
}
