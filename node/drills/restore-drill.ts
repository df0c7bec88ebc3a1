/** One restore drill: files of one snapshot, restored and compared. */
import { rm } from "node:fs/promises";
import type { Rng } from "#ledger/rng.ts";
import type { ExportSource } from "#node/export/export-source.ts";
import { walkSubtree } from "#node/export/subtree-walk.ts";
import { type ByteString, displayName, joinPath } from "#protocol/byte-string.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { FileObject, NodePointer } from "#protocol/tree.ts";
import { type ChosenFile, chooseFiles } from "./chosen-files.ts";
import { drillFile } from "./drilled-file.ts";

export interface DrillSources {
  readonly tested: ExportSource;
  readonly reference: ExportSource;
}

export interface RestoreDrillInit {
  readonly root: NodePointer;
  /** All files, or some. */
  readonly isWhole: boolean;
  readonly scratchFile: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: DrillProgress) => void;
}

export interface DrillProgress {
  readonly filesCount: number;
  readonly bytes: number;
}

export interface DrillCounts extends DrillProgress {
  readonly failedCount: number;
  /** The first of them. */
  readonly failures: readonly { readonly what: string; readonly message: string }[];
}

/** Files of a drill that is not of a whole snapshot. */
export const SAMPLE_COUNT = 20;
/** Failures that are kept for people. */
export const TOLD_COUNT = 20;

/** Throws `store-full` when there is no room for a file, and the signal's reason. */
export async function restoreDrill(
  { tested, reference, rng }: DrillSources & { readonly rng: Pick<Rng, "fraction"> },
  { root, isWhole, scratchFile, signal, onProgress }: RestoreDrillInit,
): Promise<DrillCounts> {
  let [filesCount, bytes, failedCount] = [0, 0, 0];
  const failures: { what: string; message: string }[] = [];
  const fail = (what: string, error: unknown): void => {
    signal.throwIfAborted();
    if (!isCostorError(error)) throw roomError(error);
    failedCount++;
    if (failures.length < TOLD_COUNT) failures.push({ what, message: `${error.code}: ${error.message}` });
  };
  try {
    const files = isWhole
      ? filesBelow(tested, root, signal)
      : await chooseFiles({ tree: tested.tree, rng }, root, SAMPLE_COUNT, signal);
    for await (const { path, file } of files) {
      await drillFile(file, { tested, reference, scratchFile, signal }).catch((error: unknown) =>
        fail(displayName(path), error),
      );
      filesCount++;
      bytes += file.sizeBytes;
      onProgress({ filesCount, bytes });
    }
  } catch (error) {
    fail("the tree of the snapshot", error);
  } finally {
    await rm(scratchFile, { force: true });
  }
  return { filesCount, bytes, failedCount, failures };
}

async function* filesBelow(
  { tree }: ExportSource,
  root: NodePointer,
  signal: AbortSignal,
): AsyncGenerator<ChosenFile, void, void> {
  for await (const { path, object } of walkSubtree(tree, { node: root }, signal))
    if (object.type === "file") yield { path: joinPath("/" as ByteString, path), file: object as FileObject };
}

const roomError = (error: unknown): unknown =>
  (error as NodeJS.ErrnoException).code === "ENOSPC"
    ? new CostorError("store-full", "there is no room to restore a file for the drill", { cause: error })
    : error;
