/** What a restore would do, without touching anything: the same decisions, on what is there now. */
import type { ByteString } from "#protocol/byte-string.ts";
import type { TreeReader } from "#protocol/tree-reader.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import { type PlacePolicy, wantedOwner } from "#agent/files/attributes.ts";
import type { Directory } from "#agent/files/directory.ts";
import { isOsError } from "#agent/files/os-error.ts";
import { type OverwriteMode, decideOverwrite } from "#agent/files/overwrite.ts";
import { DirectoryStack } from "#agent/files/walk.ts";
import { describeFailure } from "./place-messages.ts";
import type { RestoreTally } from "./restore-report.ts";
import { type Selection, selectChild } from "./selection.ts";

interface Level {
  readonly objects: AsyncIterator<TreeObject>;
  readonly selection: Selection;
  readonly name: ByteString;
  /** Whether the directory exists, and is the stack's current one. */
  readonly exists: boolean;
  /** What the snapshot holds here, where extra entries would be deleted. */
  readonly kept: Set<ByteString> | undefined;
}

export async function rehearseRestore(
  components: { reader: TreeReader; tally: RestoreTally },
  init: {
    readonly root: Directory | undefined;
    readonly node: NodePointer;
    readonly selection: Selection;
    readonly overwrite: OverwriteMode;
    readonly deletes: boolean;
    readonly policy: PlacePolicy;
    readonly roots: readonly (readonly ByteString[])[];
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { reader, tally } = components;
  using stack = init.root && new DirectoryStack(init.root);
  const levels: Level[] = [];
  const enter = (node: NodePointer, selection: Selection, name: ByteString, exists: boolean): void => {
    const names = levels.slice(1).map((level) => level.name);
    if (levels.length > 0) names.push(name);
    const inRoot = init.roots.some((root) => root.length <= names.length && root.every((part, index) => names[index] === part));
    const deletesHere = init.deletes && exists && selection.children.size === 0 && inRoot;
    levels.push({ objects: reader.objects(node), selection, name, exists, kept: deletesHere ? new Set() : undefined });
  };
  enter(init.node, init.selection, "" as ByteString, stack !== undefined);
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    init.signal?.throwIfAborted();
    const next = await level.objects.next();
    if (next.done) {
      if (level.kept) for (const name of stack!.current.names()) if (!level.kept.has(name)) tally.deletedCount++;
      levels.pop();
      if (level.exists && levels.length > 0) stack!.pop();
      continue;
    }
    const object = next.value;
    level.kept?.add(object.name);
    const selection = selectChild(level.selection, object.name);
    if (!selection) continue;
    const path = (): ByteString => `/${[...levels.slice(1).map((above) => above.name), object.name].join("/")}` as ByteString;
    try {
      const existing = level.exists ? stack!.current.statIfExists(object.name) : undefined;
      const owner = process.geteuid!() === 0 ? wantedOwner(object, init.policy) : undefined;
      const decision = decideOverwrite(existing, object, { mode: init.overwrite, deletes: init.deletes, owner });
      const goesIn = object.type === "directory" && (decision === "merge" || decision === "enter");
      if (goesIn) stack!.push(object.name);
      if (decision === "conflict") tally.fail(path(), { code: "restore-refused", message: "something of another type is there" });
      else if (decision === "keep" || decision === "attributes") tally.keptCount++;
      else if (!goesIn) tally.restoredCount++;
      if (object.type === "file" && (decision === "create" || decision.startsWith("replace"))) tally.restoredBytes += object.sizeBytes;
      if (object.type === "directory" && decision !== "conflict") enter(object.node, selection, object.name, goesIn);
    } catch (error) {
      if (!isOsError(error)) throw error;
      tally.fail(path(), describeFailure(error));
    }
  }
}
