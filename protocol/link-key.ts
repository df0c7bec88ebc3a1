/** Which names of a snapshot a reader makes hard links of each other. */
import type { TreeObject } from "./tree.ts";

/**
 * Equal for names that are to become one inode; undefined for an object that has one name. The names of a file are looked at one after the
 * other: where it changed in between they have the same link group and different contents, and each gets its own.
 */
export function linkKeyOf(object: TreeObject): string | undefined {
  if (!object.linkGroup || object.type === "directory") return undefined;
  const group = Buffer.from(object.linkGroup).toString("latin1");
  return object.type === "file" ? `${group} ${object.sizeBytes} ${object.mtimeNs}` : group;
}
