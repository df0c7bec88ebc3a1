import { STAT_BYTES } from "#agent/files/stat.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { inodeKey } from "./capture-entry.ts";

/** Device and inode of the directory at `path`, as {@link inodeKey} gives them. */
export function inodeKeyOf(path: string): string {
  using directory = openRoot(byteStringFromText(path));
  const stat = Buffer.alloc(STAT_BYTES);
  directory.statSelfInto(stat);
  return inodeKey(stat);
}
