/**
 * Copies a tree by capture and placing alone, as a backup and a restore do, without what lies between them. Single
 * pass, depth first.
 */
import { readSync } from "node:fs";
import { byteStringFromText, type ByteString } from "#protocol/byte-string.ts";
import type { TreeObject } from "#protocol/tree.ts";
import type { PlaceNote, PlacePolicy } from "#agent/files/attributes.ts";
import { captureAttributes, captureExtents, captureSpecial } from "#agent/files/capture.ts";
import { type Directory, closeDescriptor } from "#agent/files/directory.ts";
import { ExtentMap, NewFile, type ObjectIdentity } from "#agent/files/new-file.ts";
import type { OsError } from "#agent/files/os-error.ts";
import { type OverwriteMode, decideOverwrite } from "#agent/files/overwrite.ts";
import { wantedOwner } from "#agent/files/attributes.ts";
import {
  type EnteredDirectory,
  enterDirectory,
  finishDirectory,
  giveBackMode,
  placeAttributes,
  placeDirectory,
  placeHardLink,
  placeSpecial,
  placeSymlink,
} from "#agent/files/place.ts";
import { removeEntry } from "#agent/files/remove-tree.ts";
import { openRoot } from "#agent/files/root-path.ts";
import {
  STAT_BYTES,
  statDevice,
  statInode,
  statLinkCount,
  statRdevMajor,
  statRdevMinor,
  statSizeBytes,
  statType,
} from "#agent/files/stat.ts";
import { DirectoryStack } from "#agent/files/walk.ts";

export interface CopyOptions {
  readonly mode?: OverwriteMode;
  readonly deletes?: boolean;
  readonly policy?: PlacePolicy;
}

export interface CopyReport {
  readonly notes: string[];
  readonly conflicts: string[];
  readonly problems: string[];
  placedCount: number;
}

export const exactPolicy: PlacePolicy = { owners: "numbers", allowsPrivileges: true, allowsDevices: true };

const PIECE_BYTES = 1 << 20;

export function copyTree(source: string, target: string, options: CopyOptions = {}): CopyReport {
  const mode = options.mode ?? "never";
  const deletes = options.deletes ?? false;
  const policy = options.policy ?? exactPolicy;
  const report: CopyReport = { notes: [], conflicts: [], problems: [], placedCount: 0 };
  const from = new DirectoryStack(openRoot(byteStringFromText(source)));
  const to = new DirectoryStack(openRoot(byteStringFromText(target)));
  const linked = new Map<string, { path: ByteString[]; identity: ObjectIdentity }>();
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  const levels: { waiting: ByteString[]; finish: () => void }[] = [];

  const note = (name: ByteString) => (it: PlaceNote) =>
    void report.notes.push(`${name}: ${it.kind} ${it.error?.code ?? ""}`);
  const problem = (error: OsError) => void report.problems.push(error.message);
  const enter = (finish: () => void) => {
    const names = from.current.names().sort().reverse();
    if (deletes) for (const name of to.current.names()) if (!names.includes(name)) removeEntry(to.current, name);
    levels.push({ waiting: names, finish });
  };
  const attributesOf = (directory: Directory, stat: Buffer) =>
    captureAttributes(stat, { fd: directory.fd, isPathOnly: false }, problem);

  const copyFile = (name: ByteString, stat: Buffer, replacing: "never" | "replace"): ObjectIdentity => {
    const fd = from.current.openSameFile(name, stat);
    using file = new NewFile(to.current);
    try {
      const sizeBytes = statSizeBytes(stat);
      const map = new ExtentMap(captureExtents(fd, stat) ?? [{ offsetBytes: 0, lengthBytes: sizeBytes }]);
      // Out of order on purpose: the second half of each piece goes first.
      for (let at = 0; at < map.contentBytes; at += PIECE_BYTES) {
        const length = Math.min(PIECE_BYTES, map.contentBytes - at);
        for (const range of [...map.ranges(at, length)].reverse()) {
          const read = readSync(fd, piece, 0, range.lengthBytes, range.fileOffsetBytes);
          file.write(piece.subarray(0, read), range.fileOffsetBytes);
        }
      }
      const attributes = captureAttributes(stat, { fd, isPathOnly: false }, problem);
      return file.finish(name, sizeBytes, attributes, policy, replacing, note(name));
    } finally {
      closeDescriptor(fd);
    }
  };

  const describe = (name: ByteString, stat: Buffer): TreeObject | undefined => {
    const type = statType(stat);
    if (type === "socket") return undefined;
    const links =
      statLinkCount(stat) > 1 && type !== "directory"
        ? { linkGroup: Buffer.alloc(8), linkCount: statLinkCount(stat) }
        : {};
    if (type === "directory")
      return { type, name, node: { inline: Buffer.alloc(0) }, ...attributesOf(from.current, stat) };
    if (type === "file") {
      const fd = from.current.openSameFile(name, stat);
      const attributes = captureAttributes(stat, { fd, isPathOnly: false }, problem);
      closeDescriptor(fd);
      return { type, name, sizeBytes: statSizeBytes(stat), content: { slices: [] }, ...attributes, ...links };
    }
    const { attributes, target: linkTarget } = captureSpecial(from.current, name, stat, problem);
    if (type === "symlink") return { type, name, target: linkTarget!, ...attributes, ...links };
    if (type === "fifo") return { type, name, ...attributes, ...links };
    return { type, name, major: statRdevMajor(stat), minor: statRdevMinor(stat), ...attributes, ...links };
  };

  const copy = (name: ByteString) => {
    const stat = Buffer.alloc(STAT_BYTES);
    from.current.statInto(name, stat);
    const object = describe(name, stat);
    if (object === undefined) return;
    const existing = to.current.statIfExists(name);
    const owner = process.geteuid!() === 0 ? wantedOwner(object, policy) : undefined;
    const decision = decideOverwrite(existing, object, { mode, deletes, owner });
    if (decision === "keep") return;
    if (decision === "conflict") return void report.conflicts.push(name);
    if (decision === "replace-tree") removeEntry(to.current, name);
    if (decision === "replace-by-directory") to.current.removeFile(name);
    report.placedCount++;
    if (object.type === "directory") {
      const goesIn = decision === "merge" || decision === "enter";
      const entered: EnteredDirectory = goesIn
        ? enterDirectory(to.current, name)
        : { directory: placeDirectory(to.current, name) };
      from.push(name);
      const attributes = attributesOf(from.current, from.currentStat);
      to.enter(name, entered.directory);
      return enter(() => {
        if (decision !== "enter") finishDirectory(to.current, attributes, policy, note(name));
        else if (entered.previousMode !== undefined) giveBackMode(to.current, entered.previousMode);
        from.pop();
        to.pop();
      });
    }
    const key = `${statDevice(stat)} ${statInode(stat)}`;
    const first = object.linkGroup && linked.get(key);
    const replacing = decision === "replace" || decision === "attributes" ? "replace" : "never";
    if (first) return placeHardLink(to.root, first.path, first.identity, to.current, name, replacing);
    let identity: ObjectIdentity;
    if (decision === "attributes") {
      // What stays is the one that its further names are linked to.
      placeAttributes(to.current, name, existing!, object, policy, note(name));
      identity = existing!;
    } else if (object.type === "file") identity = copyFile(name, stat, replacing);
    else if (object.type === "symlink") identity = placeSymlink(to.current, object, policy, replacing, note(name));
    else identity = placeSpecial(to.current, object, policy, replacing, note(name));
    if (object.linkGroup) linked.set(key, { path: [...to.names(), name], identity });
  };

  try {
    const rootAttributes = attributesOf(from.current, from.currentStat);
    enter(() => finishDirectory(to.current, rootAttributes, policy, note("." as ByteString)));
    while (levels.length > 0) {
      const name = levels.at(-1)!.waiting.pop();
      if (name === undefined) levels.pop()!.finish();
      else copy(name);
    }
  } finally {
    from.close();
    to.close();
  }
  return report;
}
