/** What a restore does with one object, and what a rehearsal says of it: the same for both. */
import type { ByteString } from "#protocol/byte-string.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { type Owner, type PlacePolicy, wantedOwner } from "#agent/files/attributes.ts";
import { type OverwriteDecision, type OverwriteMode, decideOverwrite } from "#agent/files/overwrite.ts";
import type { FileStat } from "#agent/files/stat.ts";
import type { Failure } from "./place-messages.ts";
import { type RestorePath, isInRoots } from "./restore-path.ts";
import type { Selection } from "./selection.ts";

export interface DecisionInit {
  readonly overwrite: OverwriteMode;
  readonly deletes: boolean;
  readonly policy: PlacePolicy;
  /** Names from `/` to each root of the snapshot: nothing is replaced or deleted outside of them. */
  readonly roots: readonly (readonly ByteString[])[];
}

/** Whether all of a directory is to be restored, and not only something below it. */
export const isAsked = (path: RestorePath | undefined, selection: Selection, { roots }: DecisionInit): boolean =>
  selection.children.size === 0 && isInRoots(path, roots);

/** Undefined when this process may not give files away. */
export const ownerToGive = (object: TreeObject, policy: PlacePolicy): Owner | undefined =>
  process.geteuid!() === 0 ? wantedOwner(object, policy) : undefined;

export function decideObject(
  existing: FileStat | undefined,
  object: TreeObject,
  at: { readonly path: RestorePath; readonly selection: Selection },
  init: DecisionInit,
): OverwriteDecision {
  return decideOverwrite(existing, object, {
    mode: init.overwrite,
    deletes: init.deletes,
    owner: ownerToGive(object, init.policy),
    isPassage: object.type === "directory" && !isAsked(at.path, at.selection, init),
  });
}

/** Why an object could not be restored where `existing` is. */
export function describeConflict(
  existing: FileStat,
  at: { readonly path: RestorePath; readonly selection: Selection },
  init: DecisionInit,
): Failure {
  const code = "restore-refused";
  if (existing.type === "directory" || isAsked(at.path, at.selection, init))
    return { code, message: "something of another type is there" };
  const what =
    existing.type === "symlink"
      ? "a symlink is there, which is not followed"
      : "something that is no directory is there";
  return {
    code,
    message:
      `${what}, and it is not replaced, since only something below this directory is restored: ` +
      "restore into an empty directory, or into the one below which the real place has this path",
  };
}
