/**
 * Walks the roots depth first, compares each object with the record of the last snapshot, and builds the new tree from the
 * bottom up. Bounded memory: names of the directories on the way down, entries that wait for their content or for that of
 * others, and what the seal pool, the uploader and the deferred writes hold.
 *
 * The walk goes by directory descriptors (agent/files/walk.ts), so that no symlink put in its way leads it astray.
 */
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import type { Scope } from "#protocol/scope.ts";
import { type FileObject, isObjectName } from "#protocol/tree.ts";
import type { PathFilter } from "#agent/config/path-filter.ts";
import { captureAttributes } from "#agent/files/capture.ts";
import { Directory, closeDescriptor } from "#agent/files/directory.ts";
import {
  CHANGE_SIGNATURE_BYTES,
  STAT_BYTES,
  statDevice,
  statIsDirectory,
  statIsFile,
  statSizeBytes,
  statType,
  writeChangeSignature,
} from "#agent/files/stat.ts";
import { E } from "#agent/files/libc.ts";
import { OsError, isOsError, isSystemCode } from "#agent/files/os-error.ts";
import { isOnVirtualFileSystem } from "#agent/files/virtual-file-system.ts";
import { DirectoryStack } from "#agent/files/walk.ts";
import { AgentDatabase, type DirectoryKey, childKey, rootKey } from "./agent-database.ts";
import type { BackupProgress, Findings } from "./backup-report.ts";
import { type BundleUse, isInBundle } from "./bundle-use.ts";
import { captureOther, completeFile, draftFile, hasHoles, inodeKey, isRacy } from "./capture-entry.ts";
import type { ContentJobs, ContentResult } from "./content-jobs.ts";
import type { DeferredWrites } from "./deferred-writes.ts";
import { DirectoryFrame, type FrameResult, type WaitingEntries } from "./directory-frame.ts";
import { encodeHead } from "./directory-record.ts";
import { forgetSubtree } from "./forgotten-records.ts";
import { LinkedInodes } from "./linked-inodes.ts";
import type { RootNode } from "./roots.ts";
import { type RecordedEntry, ScanLevel, hasNode, objectOf, withNode } from "./scan-level.ts";
import type { TreeSealer } from "./tree-sealer.ts";
import type { Uploader } from "./uploader.ts";

export interface ScanComponents {
  readonly database: AgentDatabase;
  readonly jobs: Pick<ContentJobs, "submit" | "flush" | "room" | "isBusy" | "progress">;
  readonly trees: TreeSealer;
  readonly uploader: Uploader;
  readonly writes: Pick<DeferredWrites, "add" | "release" | "room">;
  readonly bundles: Pick<BundleUse, "writes">;
  readonly scope: Scope;
  readonly findings: Findings;
  readonly progress: BackupProgress;
}

export interface ScanInit {
  readonly roots: RootNode;
  readonly filter: PathFilter | undefined;
  readonly oneFileSystem: boolean;
  /** What is younger than this is read again next time; nanoseconds since 1970. */
  readonly racyNs: bigint;
  /** The agent's own database, which is not backed up: device and inode. */
  readonly ownDirectory: string;
  /** Bundles whose files are read once more, to be laid into new ones. */
  readonly worn: ReadonlySet<PrimeId>;
  readonly signal: AbortSignal;
}

const YIELD_EVERY_COUNT = 256;
/** Of entries that wait for others: several times what there is beside as many small files as are under way at once. */
const WAITING_ENTRIES_BYTES = 64 * 1024 * 1024;
const UNTRUSTED_SIGNATURE = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
const NOWHERE: RootNode = { children: new Map() };

export class Scan {
  private readonly components: ScanComponents;
  private readonly init: ScanInit;
  private readonly levels: ScanLevel[] = [];
  private readonly stat = Buffer.alloc(STAT_BYTES);
  private readonly signature = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
  private readonly linked: LinkedInodes;
  private stack!: DirectoryStack;
  private readonly waiting: WaitingEntries = { bytes: 0 };
  readFilesCount = 0;
  /** Roots that are there and could be opened. */
  foundRootsCount = 0;

  constructor(components: ScanComponents, init: ScanInit) {
    this.components = components;
    this.init = init;
    this.linked = new LinkedInodes(components);
  }

  /** Walks everything; resolves with the snapshot's root once all of it is sealed. */
  async run(): Promise<FrameResult> {
    const { roots } = this.init;
    using stack = new DirectoryStack(roots.root === undefined ? Directory.passSlash() : Directory.openSlash());
    this.stack = stack;
    if (roots.root !== undefined) this.foundRootsCount++;
    const root = Promise.withResolvers<FrameResult>();
    root.promise.catch(() => undefined);
    const key = roots.root === undefined ? undefined : rootKey(roots.root);
    const top = this.newFrame({ parent: undefined, name: undefined, key, onDone: root.resolve });
    this.init.signal.addEventListener("abort", () => root.reject(this.init.signal.reason as Error), { once: true });
    this.enter(top, { way: roots, isWayOnly: roots.root === undefined, device: stack.rootDevice });
    for (let visited = 1; this.levels.length > 0; visited++) {
      const level = this.levels.at(-1)!;
      if (level.next < level.names.length) this.visit(level, level.names[level.next++]!);
      else this.leave(level);
      if (visited % YIELD_EVERY_COUNT === 0 || this.components.jobs.isBusy) await this.pause();
    }
    this.components.jobs.flush();
    return root.promise;
  }

  private async pause(): Promise<void> {
    const { jobs, uploader, writes } = this.components;
    await new Promise((resolve) => setImmediate(resolve));
    await jobs.room();
    while (this.waiting.bytes > WAITING_ENTRIES_BYTES && (await jobs.progress()));
    await uploader.room();
    await writes.room(uploader);
    this.init.signal.throwIfAborted();
  }

  private newFrame(init: Omit<ConstructorParameters<typeof DirectoryFrame>[1], "record" | "onPage">): DirectoryFrame {
    const { database, scope, trees, uploader, writes } = this.components;
    const { key } = init;
    const onPage = (number: number, page: Buffer): void => {
      if (key) writes.add(uploader.added, [AgentDatabase.pageWrite(key, number, page)]);
    };
    const record = key && database.directory(key);
    return new DirectoryFrame({ scope, trees, waiting: this.waiting }, { ...init, record, onPage });
  }

  /** Lists the stack's current directory and makes it the one being walked. */
  private enter(frame: DirectoryFrame, init: Pick<ScanLevel, "way" | "isWayOnly" | "device">): void {
    let names: ByteString[] = [];
    try {
      names = init.isWayOnly ? [...(init.way ?? NOWHERE).children.keys()] : this.stack.current.names();
    } catch (error) {
      this.components.findings.noteUnreadable(frame.pathOf("." as ByteString), error);
    }
    names.sort();
    // A file system may list a name twice while its directory changes.
    names = names.filter((name, index) => name !== names[index - 1]);
    this.levels.push(new ScanLevel({ frame, names, ...init }));
  }

  private leave(level: ScanLevel): void {
    this.take(level, undefined);
    this.levels.pop();
    const above = this.levels.at(-1);
    if (above) this.goUp(level, above);
    level.frame.scanned = true;
    this.settle(level.frame);
  }

  /** Back to the directory above; when somebody moved it meanwhile, its other entries cannot be read. */
  private goUp(left: ScanLevel, above: ScanLevel): void {
    try {
      if (left.isLost) this.stack.popTo(this.levels.length - 1);
      else this.stack.pop();
    } catch (error) {
      if (!isOsError(error)) throw error;
      this.components.findings.noteUnreadable(above.frame.pathOf("." as ByteString), error);
      above.frame.markChanged();
      above.next = above.names.length;
      above.isLost = true;
    }
  }

  /** Completes a directory whose entries are all known, and those above it that become complete by that. */
  private settle(from: DirectoryFrame): void {
    for (
      let frame: DirectoryFrame | undefined = from;
      frame?.scanned && frame.pendingCount === 0;
      frame = frame.parent
    ) {
      const { uploader, writes, bundles } = this.components;
      const result = frame.finish();
      const { written } = result;
      if (written && frame.key) {
        const head = encodeHead({ ...result, ...written });
        const own = AgentDatabase.headWrites(frame.key, { ...written, head });
        writes.add(uploader.added, [...own, ...bundles.writes(written.bundles)]);
        writes.release(uploader.acknowledged);
      }
      frame.parent?.addChild(result);
      frame.onDone(result);
    }
  }

  private take(level: ScanLevel, name: ByteString | undefined): RecordedEntry | undefined {
    return level.take(name, (gone) => this.forget(level.frame.key!, gone));
  }

  /** Forgets the records of a directory that is gone, or no directory any more, and of all below it. */
  private forget(parent: DirectoryKey, { page, place }: RecordedEntry): void {
    if (page.object(place).type !== "directory") return;
    const { writes } = this.components;
    for (const forgotten of forgetSubtree(this.components, parent, page.names[place]!)) writes.add(0, forgotten);
  }

  private visit(level: ScanLevel, name: ByteString): void {
    const { findings } = this.components;
    const way = level.way?.children.get(name);
    let recorded: RecordedEntry | undefined;
    try {
      // Other systems' file systems have longer names than a tree can hold.
      if (!isObjectName(name)) throw new OsError("statx", E.NAMETOOLONG, name);
      this.stack.current.statInto(name, this.stat);
      const isDirectory = statIsDirectory(this.stat);
      if (!level.isWayOnly && !this.isWanted(level, name, isDirectory)) return;
      recorded = this.take(level, name);
      writeChangeSignature(this.stat, 0, this.signature, 0);
      const isSame = recorded?.page.matches(recorded.place, this.signature) ?? false;
      const isAboveRoot = level.isWayOnly && way!.root === undefined;
      if (isDirectory || isAboveRoot) this.visitDirectory(level, name, isSame ? recorded : undefined);
      else this.visitOther(level, name, recorded, isSame);
      if (way?.root !== undefined) this.noteRoot(level, name);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (!isSystemCode(code) && !isCostorError(error, "file-unreadable")) throw error;
      if (recorded) level.frame.markChanged();
      // Gone since the directory was listed: that is no failure, except of a root.
      if (code !== "ENOENT" || level.isWayOnly) findings.noteUnreadable(level.frame.pathOf(name), error);
    }
  }

  /** A root that is a symlink is kept as one, which is hardly what its person meant to save. */
  private noteRoot(level: ScanLevel, name: ByteString): void {
    this.foundRootsCount++;
    if (statType(this.stat) !== "symlink") return;
    const target = displayName(this.stack.current.readLink(name));
    const message = `it is a symlink to ${target}, and nothing but the symlink is saved; name what it leads to as a root`;
    this.components.findings.noteUnreadable(level.frame.pathOf(name), new CostorError("file-unreadable", message));
  }

  private isWanted(level: ScanLevel, name: ByteString, isDirectory: boolean): boolean {
    if (isDirectory && inodeKey(this.stat) === this.init.ownDirectory) return false;
    return this.init.filter === undefined || this.init.filter(level.frame.pathOf(name).slice(1), isDirectory);
  }

  /** Anything but a directory. */
  private visitOther(level: ScanLevel, name: ByteString, recorded: RecordedEntry | undefined, isSame: boolean): void {
    const { findings, progress, scope } = this.components;
    const { frame } = level;
    const isFile = statIsFile(this.stat);
    if (isFile && !Number.isSafeInteger(statSizeBytes(this.stat)))
      throw new CostorError("file-unreadable", "the file claims more than 8 PiB");
    progress.objectsCount++;
    const isKept = isSame && !(this.init.worn.size > 0 && isInBundle(objectOf(recorded!), this.init.worn));
    if (isFile) {
      progress.filesCount++;
      progress.bytes += statSizeBytes(this.stat);
      if (isKept) progress.unchangedBytes += statSizeBytes(this.stat);
    }
    if (isKept) return void frame.addUnchanged(recorded!.index);
    if (recorded) this.forget(frame.key!, recorded);
    if (isFile) return this.visitFile(level, name);
    if (statType(this.stat) === "socket") {
      findings.skippedSocketsCount++;
      if (recorded) frame.markChanged();
      return;
    }
    const problems = this.components.findings.problemsOf(() => frame.pathOf(name));
    const object = captureOther(this.stack.current, name, this.stat, scope, problems.note);
    frame.addEntry({ object, signature: this.keptSignature(problems.count > 0) });
  }

  /**
   * The signature to keep for the object just seen: none that a change in the same tick of the clock could pass, and none for
   * what could be read in part only, so that it is tried again.
   */
  private keptSignature(isIncomplete: boolean): Uint8Array {
    if (isIncomplete || isRacy(this.stat, this.init.racyNs)) return UNTRUSTED_SIGNATURE;
    writeChangeSignature(this.stat, 0, this.signature, 0);
    return Buffer.from(this.signature);
  }

  private visitDirectory(level: ScanLevel, name: ByteString, same: RecordedEntry | undefined): void {
    const { frame } = level;
    const way = level.way?.children.get(name);
    const isAboveRoot = level.isWayOnly && way!.root === undefined;
    const key = isAboveRoot ? undefined : level.isWayOnly ? rootKey(way!.root!) : childKey(frame.key!, name);
    const directory = this.stack.push(name, isAboveRoot);
    // From here on it is the opened directory that counts, whatever the name stood for before.
    this.stack.currentStat.copy(this.stat);
    this.components.progress.objectsCount++;
    const recorded = this.signature.equals(this.currentSignature()) ? same : undefined;
    const problems = this.components.findings.problemsOf(() => frame.pathOf(name));
    const attributes = recorded ? undefined : captureAttributes(this.stat, directory, problems.note);
    const signature = this.keptSignature(problems.count > 0);
    const slot = frame.addOpen();
    const onDone = ({ node }: FrameResult): void => {
      if (attributes) frame.complete(slot, { object: { name, ...attributes, type: "directory", node }, signature });
      else frame.complete(slot, hasNode(recorded!, node) ? recorded!.index : withNode(recorded!, node));
    };
    const child = this.newFrame({ parent: frame, name, key, onDone });
    const isRoot = way?.root !== undefined;
    const device = isRoot ? statDevice(this.stat) : level.device;
    const isOtherMount = this.init.oneFileSystem && statDevice(this.stat) !== device;
    const isVirtual = !isAboveRoot && !isRoot && this.stack.isMountPoint && isOnVirtualFileSystem(directory);
    // Such a mount point is kept, empty but for roots of their own.
    this.enter(child, { way, isWayOnly: isAboveRoot || isOtherMount || isVirtual, device });
  }

  private visitFile(level: ScanLevel, name: ByteString): void {
    const { frame } = level;
    const { stat } = this;
    const problems = this.components.findings.problemsOf(() => frame.pathOf(name));
    const descriptor = this.stack.current.openSameFile(name, stat);
    let draft;
    let sparse: boolean;
    try {
      draft = draftFile(descriptor, name, stat, this.components.scope, problems.note);
      sparse = hasHoles(descriptor, stat);
    } catch (error) {
      closeDescriptor(descriptor);
      throw error;
    }
    const signature = this.keptSignature(problems.count > 0);
    const slot = frame.addOpen();
    this.readFilesCount++;
    const complete = (result: ContentResult): void => {
      if (result.state === "read") {
        const restat = result.restat && Buffer.from(result.restat);
        const object = completeFile(draft, result, restat) satisfies FileObject;
        if (result.changed) this.components.findings.noteChanged(frame.pathOf(name));
        frame.complete(slot, { object, signature: restat || result.changed ? UNTRUSTED_SIGNATURE : signature });
      } else {
        this.components.findings.noteUnreadable(frame.pathOf(name), result);
        frame.complete(slot, "removed");
      }
      this.settle(frame);
    };
    const file = { name, descriptor, sparse, sizeBytes: statSizeBytes(stat), signature: this.currentSignature() };
    this.linked.submit(file, stat, complete);
  }

  private currentSignature(): Uint8Array {
    const signature = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
    writeChangeSignature(this.stat, 0, signature, 0);
    return signature;
  }
}
