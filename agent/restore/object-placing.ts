/**
 * Places what is no directory. Of the names of one inode the first gets the content and the others become links to it; where
 * the system refuses a link, they get the content too.
 */
import type { DirectoryObject, FileObject, TreeObject } from "#protocol/tree.ts";
import type { TreeReader } from "#protocol/tree-reader.ts";
import type { PlacePolicy } from "#agent/files/attributes.ts";
import { type Directory, closeDescriptor } from "#agent/files/directory.ts";
import type { ObjectIdentity, Replacing } from "#agent/files/new-file.ts";
import { isTakenToBe, looksUnchanged } from "#agent/files/overwrite.ts";
import { isOsError } from "#agent/files/os-error.ts";
import {
  isLinkRefused,
  openExisting,
  placeAttributes,
  placeHardLink,
  placeSpecial,
  placeSymlink,
} from "#agent/files/place.ts";
import type { FileStat } from "#agent/files/stat.ts";
import { ownerToGive } from "./decision.ts";
import { checkFile, placeFile } from "./file-placing.ts";
import type { HeldDirectory } from "./held-directory.ts";
import { LinkGroups, type PlacedLink } from "./link-groups.ts";
import { type Failure, type FileOutcome, describeFailure } from "./place-messages.ts";
import type { PrimeGroups } from "./prime-groups.ts";
import { type RestorePath, absolutePath, namesOf } from "./restore-path.ts";
import type { RestoreProgress, RestoreTally } from "./restore-report.ts";

export interface ObjectPlacingComponents {
  readonly reader: TreeReader;
  readonly groups: PrimeGroups;
  readonly tally: RestoreTally;
  readonly progress: RestoreProgress;
}

type PlacedObject = Exclude<TreeObject, DirectoryObject>;

/** Where an object belongs. */
export interface Spot {
  readonly path: RestorePath;
  readonly held: HeldDirectory;
  /** The same directory, open for the length of the call. */
  readonly directory: Directory;
}

/** Names that wait for the file that they are links to; each holds its directory open. */
const WAITING_LINKS_COUNT = 64;

export const noterOf =
  (tally: RestoreTally, path: RestorePath): ((note: { kind: string; error?: Error }) => void) =>
  (note) =>
    tally.note(absolutePath(path), note.kind, note.error?.message ?? "not allowed");

export class ObjectPlacing {
  private readonly components: ObjectPlacingComponents;
  private readonly policy: PlacePolicy;
  private readonly root: Directory;
  private readonly verifies: boolean;
  private readonly links = new LinkGroups();
  private waitingLinksCount = 0;
  /** Names that could not become links. */
  private readonly unlinked: { place: () => Promise<void>; release: () => void }[] = [];

  constructor(components: ObjectPlacingComponents, init: { policy: PlacePolicy; root: Directory; verifies: boolean }) {
    this.components = components;
    this.policy = init.policy;
    this.root = init.root;
    this.verifies = init.verifies;
  }

  /** To be awaited between objects. */
  async room(): Promise<void> {
    if (this.waitingLinksCount > WAITING_LINKS_COUNT) await this.drain();
    else if (this.unlinked.length > 0) await this.placeUnlinked();
  }

  /** Resolves when everything is in its place. */
  async drain(): Promise<void> {
    do {
      await this.placeUnlinked();
      await this.components.groups.drain();
    } while (this.unlinked.length > 0);
  }

  /** After a failure: ends what is under way, so that nothing half-made stays. Throws when a worker has failed. */
  async abandon(failure: Failure): Promise<void> {
    await this.components.groups.abandon(failure);
    for (const { release } of this.unlinked.splice(0)) release();
  }

  private async placeUnlinked(): Promise<void> {
    for (let next = this.unlinked.shift(); next; next = this.unlinked.shift()) {
      try {
        await next.place();
      } finally {
        next.release();
      }
    }
  }

  /** Makes the object, over what is there with `replace`. Waits for room. */
  async place(spot: Spot, object: PlacedObject, replacing: Replacing): Promise<void> {
    if (!object.linkGroup) return this.placeFirst(spot, object, replacing, () => undefined);
    if (!this.isFirstName(spot, object, replacing)) return;
    await this.placeFirst(spot, object, replacing, (identity) =>
      this.links.finish(object, identity && { path: spot.path, identity }),
    );
  }

  /**
   * Leaves what is there as it is; further names of it become links to it where it is taken to be the snapshot's. To be
   * verified, a file that looks like the snapshot's is compared. Waits for room.
   */
  async keep(spot: Spot, object: PlacedObject, existing: FileStat): Promise<void> {
    const isTaken = object.linkGroup && isTakenToBe(existing, object, ownerToGive(object, this.policy));
    if (!isTaken || this.links.claim(object, () => undefined) === "link")
      return this.leave(spot, object, existing, () => undefined);
    await this.leave(spot, object, existing, (isRight) =>
      this.links.finish(object, isRight ? { path: spot.path, identity: existing } : undefined),
    );
  }

  /** `onLeft` is called once. */
  private async leave(
    { directory, path }: Spot,
    object: PlacedObject,
    existing: FileStat,
    onLeft: (isRight: boolean) => void,
  ): Promise<void> {
    const { tally } = this.components;
    const counted = this.counter(object);
    if (!this.verifies || object.type !== "file" || !looksUnchanged(existing, object)) {
      tally.keptCount++;
      onLeft(true);
      return counted.done();
    }
    let fd: number;
    try {
      fd = openExisting(directory, object.name, existing);
    } catch (error) {
      onLeft(false);
      throw error;
    }
    await checkFile(this.components, { object, fd, onBytes: counted.onBytes }, (failure) => {
      closeDescriptor(fd);
      if (failure) tally.fail(absolutePath(path), failure);
      else tally.keptCount++;
      onLeft(!failure);
      counted.done();
    });
  }

  /** As {@link keep}, with new attributes; a name of an inode that was placed already becomes a link to that one. */
  async keepWithAttributes(spot: Spot, object: PlacedObject, existing: FileStat): Promise<void> {
    const { directory, path } = spot;
    if (object.linkGroup && !this.isFirstName(spot, object, "replace")) return;
    let placed: PlacedLink | undefined;
    try {
      placeAttributes(directory, object.name, existing, object, this.policy, noterOf(this.components.tally, path));
      placed = { path, identity: existing };
      this.noteTorn(object, path);
    } finally {
      if (object.linkGroup) this.links.finish(object, placed);
    }
    await this.leave(spot, object, existing, () => undefined);
  }

  /** Whether a name is the first of its inode, to be placed; any other becomes a link to that one, now or later. */
  private isFirstName(spot: Spot, object: PlacedObject, replacing: Replacing): boolean {
    const directory = spot.held.hold(spot.directory);
    this.waitingLinksCount++;
    const release = (): void => {
      spot.held.release();
      this.waitingLinksCount--;
    };
    const role = this.links.claim(object, (placed) => {
      if (this.placeLink(placed, directory, spot.path, replacing)) {
        this.counter(object).done();
        return release();
      }
      const place = () => this.placeFirst({ ...spot, directory }, object, replacing, () => undefined);
      this.unlinked.push({ place, release });
    });
    if (role === "place") release();
    return role === "place";
  }

  /** False when no link can be made there, and the object is to be placed by itself. */
  private placeLink(
    placed: PlacedLink | undefined,
    directory: Directory,
    path: RestorePath,
    replacing: Replacing,
  ): boolean {
    const { tally } = this.components;
    try {
      if (!placed)
        throw Object.assign(new Error("the file that it is another name of was not restored"), {
          code: "restore-refused",
        });
      const isMade = placeHardLink(this.root, namesOf(placed.path), placed.identity, directory, path.name, replacing);
      if (isMade) tally.restoredCount++;
      else tally.keptCount++;
    } catch (error) {
      if (isLinkRefused(error)) {
        tally.note(absolutePath(path), "link", `restored as an object of its own: ${error.message}`);
        return false;
      }
      tally.fail(absolutePath(path), describeFailure(error));
    }
    return true;
  }

  /** `onPlaced` is called once, without identity when it failed. */
  private async placeFirst(
    { path, held, directory: current }: Spot,
    object: PlacedObject,
    replacing: Replacing,
    onPlaced: (identity: ObjectIdentity | undefined) => void,
  ): Promise<void> {
    let directory: Directory;
    try {
      if (object.type !== "file") return onPlaced(this.placeOther(current, path, object, replacing));
      directory = held.hold(current);
    } catch (error) {
      if (!isOsError(error)) throw error;
      this.components.tally.fail(absolutePath(path), describeFailure(error));
      return onPlaced(undefined);
    }
    const counted = this.counter(object);
    const placing = { object, directory, replacing, onBytes: counted.onBytes };
    await placeFile(this.components, this.policy, placing, (outcome) => {
      this.finishFile(object, path, outcome);
      counted.done();
      onPlaced(outcome.identity);
      held.release();
    });
  }

  private placeOther(
    directory: Directory,
    path: RestorePath,
    object: Exclude<PlacedObject, FileObject>,
    replacing: Replacing,
  ): ObjectIdentity {
    const { tally } = this.components;
    const identity =
      object.type === "symlink"
        ? placeSymlink(directory, object, this.policy, replacing, noterOf(tally, path))
        : placeSpecial(directory, object, this.policy, replacing, noterOf(tally, path));
    tally.restoredCount++;
    return identity;
  }

  private finishFile(object: FileObject, path: RestorePath, outcome: FileOutcome): void {
    const { tally } = this.components;
    for (const note of outcome.notes) tally.note(absolutePath(path), note.kind, note.message);
    if (outcome.failure) return tally.fail(absolutePath(path), outcome.failure);
    this.noteTorn(object, path);
    tally.restoredCount++;
    tally.restoredBytes += object.sizeBytes;
  }

  private noteTorn(object: PlacedObject, path: RestorePath): void {
    if (object.type === "file" && object.changed)
      this.components.tally.note(absolutePath(path), "torn", "changed while it was backed up");
  }

  /** Counts an object as done, whatever came of it, and its bytes before, as far as they are known. */
  private counter(object: PlacedObject): { onBytes: (bytes: number) => void; done: () => void } {
    const { progress } = this.components;
    let countedBytes = 0;
    return {
      onBytes: (bytes) => {
        countedBytes += bytes;
        progress.bytes += bytes;
      },
      done: () => {
        if (object.type !== "file") return;
        progress.filesCount++;
        progress.bytes += object.sizeBytes - countedBytes;
      },
    };
  }
}
