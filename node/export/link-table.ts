/**
 * Where the first name of each hard-linked inode is in the archive, so that later names become links to it. A group leaves
 * the table with its last name. Groups beyond the limit are not remembered: their names each carry the content, so that
 * memory stays bounded and no data is lost.
 */
import { limits } from "#protocol/limits.ts";
import { linkKeyOf } from "#protocol/link-key.ts";
import type { TreeObject } from "#protocol/tree.ts";
import type { Place } from "./subtree-walk.ts";

export class LinkTable {
  private readonly groups = new Map<string, { readonly first: Place; missingCount: number }>();
  private readonly limitCount: number;

  constructor(init: { readonly limitCount?: number } = {}) {
    this.limitCount = init.limitCount ?? limits.exportLinkGroupsCount;
  }

  /** The place of the inode's first name when there was one; else remembers this one. */
  firstPlaceOf(object: TreeObject, place: Place): Place | undefined {
    const key = linkKeyOf(object);
    if (key === undefined) return undefined;
    const group = this.groups.get(key);
    if (!group) {
      const missingCount = (object.linkCount ?? Infinity) - 1;
      if (missingCount > 0 && this.groups.size < this.limitCount) this.groups.set(key, { first: place, missingCount });
      return undefined;
    }
    if (--group.missingCount === 0) this.groups.delete(key);
    return group.first;
  }
}
