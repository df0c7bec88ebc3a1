/**
 * Walks a snapshot and a directory of this machine side by side, depth first, and makes the second like the first. By
 * descriptors throughout (agent/files): whoever moves or exchanges things meanwhile gains nothing.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { DirectoryObject, NodePointer, TreeObject } from "#protocol/tree.ts";
import { isTreeDamage } from "#protocol/tree-reader.ts";
import { assertInvariant } from "#protocol/errors.ts";
import type { Directory } from "#agent/files/directory.ts";
import { isOsError } from "#agent/files/os-error.ts";
import type { OverwriteDecision } from "#agent/files/overwrite.ts";
import {
  type EnteredDirectory,
  enterDirectory,
  finishDirectory,
  giveBackMode,
  placeDirectory,
} from "#agent/files/place.ts";
import { removeLeftovers } from "#agent/files/temporary-name.ts";
import { DirectoryStack } from "#agent/files/walk.ts";
import { type DecisionInit, decideObject, describeConflict, isAsked } from "./decision.ts";
import type { Deleting } from "./deleting.ts";
import { HeldDirectory } from "./held-directory.ts";
import { ObjectPlacing, type ObjectPlacingComponents, type Spot, noterOf } from "./object-placing.ts";
import { type Failure, describeFailure } from "./place-messages.ts";
import { type RestorePath, absolutePath } from "./restore-path.ts";
import { type Selection, selectChild } from "./selection.ts";

export interface RestoreWalkComponents extends ObjectPlacingComponents {
  readonly deleting: Deleting;
}

export interface RestoreWalkInit extends DecisionInit {
  readonly selection: Selection;
  /** Compare files that are left because they look like the snapshot's. */
  readonly verifies: boolean;
  readonly signal?: AbortSignal;
}

interface Level {
  /** Undefined for the restore's root. */
  readonly path: RestorePath | undefined;
  readonly objects: AsyncIterator<TreeObject>;
  readonly selection: Selection;
  readonly held: HeldDirectory;
  /** Made by this restore: nothing else is in it. */
  readonly isNew: boolean;
  /** The directory cannot be reached any more. */
  isLost?: boolean;
  /** What the snapshot holds here, where extra entries are to be deleted. */
  kept: Set<ByteString> | undefined;
}

export class RestoreWalk {
  private readonly components: RestoreWalkComponents;
  private readonly init: RestoreWalkInit;
  private readonly levels: Level[] = [];
  private readonly root: Directory;
  private readonly stack: DirectoryStack;
  private readonly placing: ObjectPlacing;

  /** Takes over `root`. */
  constructor(components: RestoreWalkComponents, init: RestoreWalkInit & { root: Directory }) {
    this.components = components;
    this.init = init;
    this.root = init.root;
    this.stack = new DirectoryStack(init.root.duplicate());
    this.placing = new ObjectPlacing(components, init);
  }

  async run(node: NodePointer): Promise<void> {
    try {
      await this.walk(node);
    } catch (error) {
      await this.abandon(describeFailure(error));
      throw error;
    }
  }

  private async walk(node: NodePointer): Promise<void> {
    this.enter(undefined, node, this.init.selection, new HeldDirectory(() => undefined), false);
    for (let level = this.levels.at(-1); level; level = this.levels.at(-1)) {
      this.init.signal?.throwIfAborted();
      const { depthCount } = this.stack;
      assertInvariant(depthCount === this.levels.length - 1, "the walk is where it believes to be", { depthCount });
      if (level.isLost) {
        this.giveUp(level);
        continue;
      }
      const next = await this.next(level);
      if (next.done) this.leave(level);
      else await this.visit(level, next.value);
      await this.placing.room();
    }
    await this.placing.drain();
  }

  /** Cut short: nothing half-made stays, and directories that were under way get their attributes as far as they are. */
  private async abandon(failure: Failure): Promise<void> {
    try {
      await this.placing.abandon(failure);
    } catch {
      // Of a worker that has failed nothing is known; what cut this short is told.
      return;
    }
    for (let level = this.levels.at(-1); level; level = this.levels.at(-1)) {
      level.kept = undefined;
      if (level.isLost) this.giveUp(level);
      else this.leave(level);
    }
  }

  /** A directory that cannot be read any further ends there, and nothing is deleted in it. */
  private async next(level: Level): Promise<IteratorResult<TreeObject, unknown>> {
    try {
      return await level.objects.next();
    } catch (error) {
      if (!isTreeDamage(error)) throw error;
      this.components.tally.fail(absolutePath(level.path), describeFailure(error));
      level.kept = undefined;
      return { done: true, value: undefined };
    }
  }

  [Symbol.dispose](): void {
    this.stack.close();
    this.root.close();
  }

  /** Goes on in the stack's current directory. Throws nothing, so that stack and levels are always equally deep. */
  private enter(
    path: RestorePath | undefined,
    node: NodePointer,
    selection: Selection,
    held: HeldDirectory,
    isNew: boolean,
  ): void {
    const deletesHere = this.init.deletes && !isNew && isAsked(path, selection, this.init);
    const objects = this.components.reader.objects(node)[Symbol.asyncIterator]();
    this.levels.push({ path, objects, selection, held, isNew, kept: deletesHere ? new Set() : undefined });
  }

  private leave(level: Level): void {
    if (level.kept) this.components.deleting.removeExtra(this.stack, level.path, level.kept);
    this.levels.pop();
    level.held.leave(this.stack.current);
    const above = this.levels.at(-1);
    if (!above) return;
    try {
      this.stack.pop();
    } catch (error) {
      // Somebody moved it meanwhile: what else belongs there cannot be placed.
      if (!isOsError(error)) throw error;
      this.components.tally.fail(absolutePath(above.path), describeFailure(error));
      above.isLost = true;
    }
  }

  private giveUp(level: Level): void {
    this.levels.pop();
    level.held.abandon();
    const above = this.levels.at(-1);
    if (above) this.reopen(above);
  }

  /** Goes on above a directory that was lost. */
  private reopen(above: Level): void {
    try {
      this.stack.popTo(this.levels.length - 1);
    } catch (error) {
      if (!isOsError(error)) throw error;
      this.components.tally.fail(absolutePath(above.path), describeFailure(error));
      above.isLost = true;
    }
  }

  private async visit(level: Level, object: TreeObject): Promise<void> {
    const { progress, tally } = this.components;
    level.kept?.add(object.name);
    const selection = selectChild(level.selection, object.name);
    if (!selection) return;
    progress.objectsCount++;
    const path: RestorePath = { parent: level.path, name: object.name };
    try {
      const existing = level.isNew ? undefined : this.stack.current.statIfExists(object.name);
      const decision = decideObject(existing, object, { path, selection }, this.init);
      if (decision === "conflict") {
        tally.fail(absolutePath(path), describeConflict(existing!, { path, selection }, this.init));
      } else if (object.type === "directory") {
        this.visitDirectory(path, object, selection, decision);
      } else if (decision === "keep") {
        await this.placing.keep(this.spot(level, path), object, existing!);
      } else if (decision === "attributes") {
        await this.placing.keepWithAttributes(this.spot(level, path), object, existing!);
      } else {
        if (decision === "replace-tree") this.components.deleting.removeTree(this.stack.current, path);
        await this.placing.place(this.spot(level, path), object, decision === "replace" ? "replace" : "never");
      }
    } catch (error) {
      if (!isOsError(error)) throw error;
      tally.fail(absolutePath(path), describeFailure(error));
    }
  }

  private spot({ held }: Level, path: RestorePath): Spot {
    return { path, held, directory: this.stack.current };
  }

  private visitDirectory(
    path: RestorePath,
    object: DirectoryObject,
    selection: Selection,
    decision: OverwriteDecision,
  ): void {
    const { current } = this.stack;
    const { tally } = this.components;
    if (decision === "replace-by-directory") current.removeFile(object.name);
    const isNew = decision === "create" || decision === "replace-by-directory";
    const entered: EnteredDirectory = isNew
      ? { directory: placeDirectory(current, object.name) }
      : enterDirectory(current, object.name);
    const { directory, previousMode } = entered;
    const { policy } = this.init;
    try {
      if (!isNew) removeLeftovers(directory);
      // Should this run be cut short, the next one passes through it as through any other and leaves its attributes.
      else if (!isAsked(path, selection, this.init))
        finishDirectory(directory, { ...object, mode: object.mode | 0o700 }, policy, () => undefined);
      this.stack.enter(object.name, directory);
    } catch (error) {
      directory.close();
      throw error;
    }
    const held = new HeldDirectory((directory) => {
      try {
        if (isNew || decision === "merge") {
          finishDirectory(directory, object, policy, noterOf(tally, path));
        } else if (previousMode !== undefined) giveBackMode(directory, previousMode);
      } catch (error) {
        tally.fail(absolutePath(path), describeFailure(error));
      }
    });
    if (isNew) tally.restoredCount++;
    this.enter(path, object.node, selection, held, isNew);
  }
}
