/** Makes tree objects of what a scan finds. */
import { createHmac } from "node:crypto";
import type { ByteString } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import type { Scope } from "#protocol/scope.ts";
import type { Content, DataExtent, FileObject, TreeObject } from "#protocol/tree.ts";
import { type OnProblem, captureAttributes, captureSpecial } from "#agent/files/capture.ts";
import type { Directory } from "#agent/files/directory.ts";
import { findDataExtents } from "#agent/files/holes.ts";
import {
  statAllocatedBytes,
  statCtimeNs,
  statLinkCount,
  statMode,
  statMtimeNs,
  statRdevMajor,
  statRdevMinor,
  statSizeBytes,
  statType,
  statUid,
  statGid,
} from "#agent/files/stat.ts";
import { groupName, userName } from "#agent/files/owner-names.ts";

const LINK_GROUP_BYTES = 8;

/** What all names of one inode share: nothing for an inode with one name. */
export function linkFields(scope: Scope, stat: Buffer): { linkGroup?: Uint8Array; linkCount?: number } {
  const linkCount = statLinkCount(stat);
  if (linkCount < 2) return {};
  const digest = createHmac("sha256", scope.content).update("link").update(linkKey(stat), "latin1").digest();
  return { linkGroup: digest.subarray(0, LINK_GROUP_BYTES), linkCount };
}

/** Device and inode, as a byte string. */
export const inodeKey = (stat: Buffer): string =>
  stat.toString("latin1", 0x20, 0x28) + stat.toString("latin1", 0x88, 0x90);

/** Which inode, for its names: numbers are used again, so the time of its birth belongs to it where the system tells that. */
export const linkKey = (stat: Buffer): string => inodeKey(stat) + stat.toString("latin1", 0x50, 0x5c);

/** A symlink, FIFO or device node. `stat` becomes its newest record. */
export function captureOther(
  directory: Directory,
  name: ByteString,
  stat: Buffer,
  scope: Scope,
  onProblem: OnProblem,
): TreeObject {
  const { attributes, target } = captureSpecial(directory, name, stat, onProblem);
  const named = { name, ...attributes, ...linkFields(scope, stat) };
  const type = statType(stat);
  if (type === "symlink") return { ...named, type, target: target! };
  if (type === "character" || type === "block")
    return { ...named, type, major: statRdevMajor(stat), minor: statRdevMinor(stat) };
  return { ...named, type: "fifo" };
}

/**
 * Whether a file seems to have holes. A file system that compresses has less allocated than the size too: a small file is
 * asked, so that it stays one.
 */
export function hasHoles(descriptor: number, stat: Buffer): boolean {
  const sizeBytes = statSizeBytes(stat);
  if (statAllocatedBytes(stat) >= sizeBytes) return false;
  return sizeBytes > limits.smallFileBytes || findDataExtents(descriptor, sizeBytes) !== undefined;
}

export interface FileDraft {
  readonly name: ByteString;
  readonly attributes: ReturnType<typeof captureAttributes>;
  readonly links: ReturnType<typeof linkFields>;
}

/** A file's attributes, from its open descriptor. */
export function draftFile(
  descriptor: number,
  name: ByteString,
  stat: Buffer,
  scope: Scope,
  onProblem: OnProblem,
): FileDraft {
  return {
    name,
    attributes: captureAttributes(stat, { fd: descriptor, isPathOnly: false }, onProblem),
    links: linkFields(scope, stat),
  };
}

/** The object of a file whose content is known; `restat` when it changed after the scan saw it. */
export function completeFile(
  draft: FileDraft,
  read: { content: Content; sizeBytes: number; extents?: readonly DataExtent[]; changed: boolean },
  restat?: Buffer,
): FileObject {
  const newer = restat && {
    mode: statMode(restat),
    uid: statUid(restat),
    gid: statGid(restat),
    user: userName(statUid(restat)),
    group: groupName(statGid(restat)),
    mtimeNs: statMtimeNs(restat),
  };
  return {
    name: draft.name,
    ...draft.attributes,
    ...newer,
    ...draft.links,
    type: "file",
    sizeBytes: read.sizeBytes,
    content: read.content,
    ...(read.extents ? { extents: read.extents } : {}),
    ...(read.changed ? { changed: true } : {}),
  };
}

/** Longer than a backup takes: a modification time further ahead was set by hand. */
const LONGEST_RUN_NS = 24n * 3600n * 1_000_000_000n;

/**
 * Whether an object is so young that a change in the same tick of the clock would not show in its record. The time of
 * modification counts too, for file systems that keep no other.
 */
export function isRacy(stat: Buffer, racyNs: bigint): boolean {
  if (statCtimeNs(stat) >= racyNs) return true;
  const mtimeNs = statMtimeNs(stat);
  return mtimeNs >= racyNs && mtimeNs < racyNs + LONGEST_RUN_NS;
}
