/** What a restore would do, without touching anything: the same decisions, on what is there now. */
import type { ByteString } from "#protocol/byte-string.ts";
import { linkKeyOf } from "#protocol/link-key.ts";
import { type TreeReader, isTreeDamage } from "#protocol/tree-reader.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import type { PlacePolicy } from "#agent/files/attributes.ts";
import type { Directory } from "#agent/files/directory.ts";
import { isOsError } from "#agent/files/os-error.ts";
import { type OverwriteDecision, isTakenToBe } from "#agent/files/overwrite.ts";
import type { FileStat } from "#agent/files/stat.ts";
import { DirectoryStack } from "#agent/files/walk.ts";
import { type DecisionInit, decideObject, describeConflict, isAsked, ownerToGive } from "./decision.ts";
import type { Deleting } from "./deleting.ts";
import { describeFailure } from "./place-messages.ts";
import type { RestoreTally } from "./restore-report.ts";
import { type RestorePath, absolutePath } from "./restore-path.ts";
import { type Selection, selectChild } from "./selection.ts";

interface Level {
  readonly objects: AsyncIterator<TreeObject>;
  readonly selection: Selection;
  /** Undefined for the restore's root. */
  readonly path: RestorePath | undefined;
  /** Whether the directory exists, and is the stack's current one. */
  readonly exists: boolean;
  /** What the snapshot holds here, where extra entries would be deleted. */
  kept: Set<ByteString> | undefined;
}

export async function rehearseRestore(
  components: { reader: TreeReader; tally: RestoreTally; deleting: Deleting },
  init: DecisionInit & {
    readonly root: Directory | undefined;
    readonly node: NodePointer;
    readonly selection: Selection;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { reader, tally, deleting } = components;
  using stack = init.root && new DirectoryStack(init.root);
  const levels: Level[] = [];
  const enter = (path: RestorePath | undefined, node: NodePointer, selection: Selection, exists: boolean): void => {
    const deletesHere = init.deletes && exists && isAsked(path, selection, init);
    levels.push({ objects: reader.objects(node), selection, path, exists, kept: deletesHere ? new Set() : undefined });
  };
  const counting = new Counting(tally, init.policy);
  enter(undefined, init.node, init.selection, stack !== undefined);
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    init.signal?.throwIfAborted();
    const next = await level.objects.next().catch((error: unknown) => {
      if (!isTreeDamage(error)) throw error;
      tally.fail(absolutePath(level.path), describeFailure(error));
      level.kept = undefined;
      return { done: true, value: undefined } as const;
    });
    if (next.done) {
      if (level.kept) deleting.removeExtra(stack!, level.path, level.kept);
      levels.pop();
      if (level.exists && levels.length > 0) stack!.pop();
      continue;
    }
    const object = next.value;
    level.kept?.add(object.name);
    const selection = selectChild(level.selection, object.name);
    if (!selection) continue;
    const path: RestorePath = { parent: level.path, name: object.name };
    try {
      const existing = level.exists ? stack!.current.statIfExists(object.name) : undefined;
      const decision = decideObject(existing, object, { path, selection }, init);
      const goesIn = object.type === "directory" && (decision === "merge" || decision === "enter");
      if (goesIn) stack!.push(object.name);
      if (decision === "replace-tree") deleting.removeTree(stack!.current, path);
      if (decision === "conflict")
        tally.fail(absolutePath(path), describeConflict(existing!, { path, selection }, init));
      else if (!goesIn) counting.add(object, decision, existing);
      if (object.type === "directory" && decision !== "conflict") enter(path, object.node, selection, goesIn);
    } catch (error) {
      if (!isOsError(error)) throw error;
      tally.fail(absolutePath(path), describeFailure(error));
    }
  }
}

/** Counts as the restore would: of the names of one inode the first stands for its bytes, the others become links to it. */
class Counting {
  private readonly tally: RestoreTally;
  private readonly policy: PlacePolicy;
  /** What each inode's first name stands for: an object that is there, or a new one. */
  private readonly firsts = new Map<string, FileStat | "new">();

  constructor(tally: RestoreTally, policy: PlacePolicy) {
    this.tally = tally;
    this.policy = policy;
  }

  add(object: TreeObject, decision: OverwriteDecision, existing: FileStat | undefined): void {
    const group = linkKeyOf(object);
    const first = group === undefined ? undefined : this.firsts.get(group);
    if (decision === "keep") {
      this.tally.keptCount++;
      if (group === undefined || first !== undefined) return;
      if (isTakenToBe(existing!, object, ownerToGive(object, this.policy))) this.firsts.set(group, existing!);
      return;
    }
    const isKept = decision === "attributes";
    if (first !== undefined) {
      const isLinked = first !== "new" && existing?.inode === first.inode && existing.device === first.device;
      if (isLinked) this.tally.keptCount++;
      else this.tally.restoredCount++;
      return;
    }
    if (group !== undefined) this.firsts.set(group, isKept ? existing! : "new");
    if (isKept) this.tally.keptCount++;
    else this.tally.restoredCount++;
    if (object.type === "file" && !isKept) this.tally.restoredBytes += object.sizeBytes;
  }
}
