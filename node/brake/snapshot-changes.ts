/** How a snapshot differs from the one before: numbers, and the beginnings of some files on both sides, drawn by chance. */
import type { Rng } from "#ledger/rng.ts";
import type { ExportSource } from "#node/export/export-source.ts";
import { readFileBytes } from "#node/export/file-content.ts";
import type { PrimeSource } from "#node/export/prime-source.ts";
import { ContentIdentity } from "#protocol/content-identity.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { FileObject, NodePointer } from "#protocol/tree.ts";
import { diffTrees } from "#protocol/tree-diff.ts";
import { HEAD_BYTES, readHead } from "./file-heads.ts";
import type { ChangeCounts, HeadCounts } from "./judge-changes.ts";

export interface SnapshotChangesComponents {
  readonly source: PrimeSource;
  readonly rng: Pick<Rng, "fraction">;
}

export interface ComparedSnapshot {
  readonly root: NodePointer;
  readonly filesCount: number;
}

const HEADS_COUNT = 64;

export interface ComparisonInit {
  /** Something is damaged or not here, and passed over. */
  readonly onDamage: () => void;
  readonly signal: AbortSignal;
}

/** Throws the signal's reason. */
export async function compareSnapshots(
  { source, rng }: SnapshotChangesComponents,
  before: ComparedSnapshot,
  after: Pick<ComparedSnapshot, "root">,
  init: ComparisonInit,
): Promise<ChangeCounts> {
  const contents = new ContentIdentity({ readContent: (slice) => source.openSlice(slice) });
  const was = new Drawn(rng);
  const is = new Drawn(rng);
  const counts = { changedCount: 0, addedCount: 0, removedCount: 0 };
  const differences = diffTrees({ reader: source.tree, contents }, before.root, after.root, init);
  for await (const difference of differences) {
    const [left, right] = [fileOf(difference.before), fileOf(difference.after)];
    if (difference.kind === "metadata" || (left === undefined && right === undefined)) continue;
    if (left && right) counts.changedCount++;
    else if (left) counts.removedCount++;
    else counts.addedCount++;
    if (left) was.offer(left);
    if (right) is.offer(right);
  }
  return {
    filesBefore: before.filesCount,
    ...counts,
    before: await headsOf(source, was.files, init),
    after: await headsOf(source, is.files, init),
  };
}

const fileOf = (object: { readonly type: string } | undefined): FileObject | undefined =>
  object?.type === "file" && (object as FileObject).sizeBytes > 0 ? (object as FileObject) : undefined;

/** A fair sample of so many, of however many are offered. */
class Drawn {
  readonly files: FileObject[] = [];
  readonly #rng: Pick<Rng, "fraction">;
  #offeredCount = 0;

  constructor(rng: Pick<Rng, "fraction">) {
    this.#rng = rng;
  }

  offer(file: FileObject): void {
    const at =
      this.#offeredCount++ < HEADS_COUNT ? this.files.length : Math.floor(this.#rng.fraction() * this.#offeredCount);
    if (at < HEADS_COUNT) this.files[at] = file;
  }
}

async function headsOf(source: ExportSource, files: readonly FileObject[], init: ComparisonInit): Promise<HeadCounts> {
  const counts = { count: 0, knownKindCount: 0, compressibleCount: 0 };
  for (const file of files) {
    init.signal.throwIfAborted();
    const head = await headOf(source, file, init);
    if (head === undefined) continue;
    counts.count++;
    if (head.isKnownKind) counts.knownKindCount++;
    if (head.isCompressible) counts.compressibleCount++;
  }
  return counts;
}

async function headOf(source: ExportSource, file: FileObject, { onDamage, signal }: ComparisonInit) {
  try {
    const pieces = await Array.fromAsync(readFileBytes(source, file, 0, Math.min(file.sizeBytes, HEAD_BYTES), signal));
    return await readHead(Buffer.concat(pieces));
  } catch (error) {
    signal.throwIfAborted();
    if (!isCostorError(error)) throw error;
    onDamage();
    return undefined;
  }
}
