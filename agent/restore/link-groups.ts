/**
 * The names of one inode: the first one restored is placed, the others become links to it (which: protocol/link-key.ts). A
 * group is forgotten once all names that the inode had were seen.
 */
import { linkKeyOf } from "#protocol/link-key.ts";
import type { TreeObject } from "#protocol/tree.ts";
import type { ObjectIdentity } from "#agent/files/new-file.ts";
import type { RestorePath } from "./restore-path.ts";

export interface PlacedLink {
  readonly path: RestorePath;
  readonly identity: ObjectIdentity;
}

interface LinkGroup {
  placed?: PlacedLink;
  isPending: boolean;
  waiters: ((placed: PlacedLink | undefined) => void)[];
  seenCount: number;
}

export class LinkGroups {
  private readonly groups = new Map<string, LinkGroup>();

  /**
   * What to do with `object`: `place` it and then call {@link finish}; or it is to be linked once `onPlaced` is called, with
   * undefined when the first name failed.
   */
  claim(object: TreeObject, onPlaced: (placed: PlacedLink | undefined) => void): "place" | "link" {
    const key = linkKeyOf(object)!;
    const group = this.groups.get(key) ?? { isPending: false, waiters: [], seenCount: 0 };
    this.groups.set(key, group);
    group.seenCount++;
    if (group.placed) {
      onPlaced(group.placed);
      this.forgetComplete(key, group, object);
      return "link";
    }
    if (group.isPending) {
      group.waiters.push(onPlaced);
      return "link";
    }
    group.isPending = true;
    return "place";
  }

  /** The first name of a group was placed, or failed: then the next name is on its own. */
  finish(object: TreeObject, placed: PlacedLink | undefined): void {
    const key = linkKeyOf(object)!;
    const group = this.groups.get(key)!;
    group.isPending = false;
    if (placed) group.placed = placed;
    for (const waiter of group.waiters.splice(0)) waiter(placed);
    this.forgetComplete(key, group, object);
  }

  private forgetComplete(key: string, group: LinkGroup, object: TreeObject): void {
    if (!group.isPending && group.seenCount >= (object.linkCount ?? Number.POSITIVE_INFINITY)) this.groups.delete(key);
  }
}
