/**
 * Walks the roots depth first, compares each object with the record of the last snapshot, and builds the new tree from the
 * bottom up. Bounded memory: names of the directories on the way down, entries that wait for their content, and what the
 * seal pool and the uploader hold.
 *
 * The walk goes by directory descriptors (agent/files/walk.ts), so that no symlink put in its way leads it astray.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { Scope } from "#protocol/scope.ts";
import type { FileObject, NodePointer } from "#protocol/tree.ts";
import type { PathFilter } from "#agent/config/path-filter.ts";
import { captureAttributes } from "#agent/files/capture.ts";
import { Directory, closeDescriptor } from "#agent/files/directory.ts";
import {
  CHANGE_SIGNATURE_BYTES,
  STAT_BYTES,
  statAllocatedBytes,
  statDevice,
  statIsDirectory,
  statIsFile,
  statLinkCount,
  statSizeBytes,
  statType,
  writeChangeSignature,
} from "#agent/files/stat.ts";
import { isOsError } from "#agent/files/os-error.ts";
import { DirectoryStack } from "#agent/files/walk.ts";
import { AgentDatabase, type DirectoryKey, childKey, rootKey } from "./agent-database.ts";
import type { BackupProgress, Findings } from "./backup-report.ts";
import { captureOther, completeFile, draftFile, inodeKey, isRacy } from "./capture-entry.ts";
import type { ContentJobs, ContentResult } from "./content-jobs.ts";
import type { DeferredWrites } from "./deferred-writes.ts";
import { DirectoryFrame, type FrameEntry, type FrameResult, RecordCursor } from "./directory-frame.ts";
import { encodeHead } from "./directory-record.ts";
import { forgetSubtree } from "./forgotten-records.ts";
import { LinkedInodes } from "./linked-inodes.ts";
import type { RootNode } from "./roots.ts";
import type { TreeSealer } from "./tree-sealer.ts";
import type { Uploader } from "./uploader.ts";

export interface ScanComponents {
  readonly database: AgentDatabase;
  readonly jobs: Pick<ContentJobs, "submit" | "flush" | "room" | "isBusy">;
  readonly trees: TreeSealer;
  readonly uploader: Uploader;
  readonly writes: DeferredWrites;
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
  readonly signal: AbortSignal;
}

/** A directory on the way down. */
interface Level {
  readonly frame: DirectoryFrame;
  readonly names: readonly ByteString[];
  next: number;
  /** The record's next entry. */
  recordIndex: number;
  readonly cursor: RecordCursor | undefined;
  /** Set above the roots. */
  readonly above: RootNode | undefined;
  readonly device: number;
  /** It cannot be reached any more. */
  isLost?: boolean;
}

const YIELD_EVERY_COUNT = 256;
const UNTRUSTED_SIGNATURE = Buffer.alloc(CHANGE_SIGNATURE_BYTES);

export class Scan {
  private readonly components: ScanComponents;
  private readonly init: ScanInit;
  private readonly levels: Level[] = [];
  private readonly stat = Buffer.alloc(STAT_BYTES);
  private readonly signature = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
  private readonly linked = new LinkedInodes();
  private stack!: DirectoryStack;
  readFilesCount = 0;

  constructor(components: ScanComponents, init: ScanInit) {
    this.components = components;
    this.init = init;
  }

  /** Walks everything; resolves with the snapshot's root once all of it is sealed. */
  async run(): Promise<FrameResult> {
    using stack = new DirectoryStack(Directory.openSlash());
    this.stack = stack;
    const { roots } = this.init;
    const root = Promise.withResolvers<FrameResult>();
    root.promise.catch(() => undefined);
    const key = roots.root === undefined ? undefined : rootKey(roots.root);
    const top = this.newFrame({ parent: undefined, name: undefined, key, onDone: root.resolve });
    this.init.signal.addEventListener("abort", () => root.reject(this.init.signal.reason as Error), { once: true });
    this.enter(top, roots.root === undefined ? roots : undefined, 0);
    for (let visited = 1; this.levels.length > 0; visited++) {
      const level = this.levels.at(-1)!;
      if (level.next < level.names.length) this.visit(level, level.names[level.next++]!);
      else this.leave(level);
      if (visited % YIELD_EVERY_COUNT === 0 || this.components.jobs.isBusy) await this.pause(level);
    }
    this.components.jobs.flush();
    return root.promise;
  }

  private async pause(level: Level): Promise<void> {
    level.frame.emitAhead(this.components.scope, this.components.trees);
    await new Promise((resolve) => setImmediate(resolve));
    await this.components.jobs.room();
    await this.components.uploader.room();
    this.init.signal.throwIfAborted();
  }

  private newFrame(init: Omit<ConstructorParameters<typeof DirectoryFrame>[0], "record">): DirectoryFrame {
    return new DirectoryFrame({ ...init, record: init.key && this.components.database.directory(init.key) });
  }

  /** Lists the stack's current directory and makes it the one being walked. */
  private enter(frame: DirectoryFrame, above: RootNode | undefined, device: number): void {
    let names: ByteString[] = [];
    try {
      names = above ? [...above.children.keys()] : this.stack.current.names();
    } catch (error) {
      this.components.findings.noteUnreadable(frame.pathOf("." as ByteString), error);
    }
    names.sort();
    const cursor = frame.record && new RecordCursor(frame.record);
    this.levels.push({ frame, names, next: 0, recordIndex: 0, cursor, above, device });
  }

  private leave(level: Level): void {
    this.passRecordUpTo(level, undefined);
    this.levels.pop();
    const above = this.levels.at(-1);
    if (above) this.goUp(level, above);
    level.frame.scanned = true;
    this.settle(level.frame);
  }

  /** Back to the directory above; when somebody moved it meanwhile, its other entries cannot be read. */
  private goUp(left: Level, above: Level): void {
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
    for (let frame: DirectoryFrame | undefined = from; frame?.scanned && frame.pendingCount === 0; frame = frame.parent) {
      const { uploader, writes, scope, trees } = this.components;
      const result = frame.finish(scope, trees);
      if (result.pages && frame.key) {
        const head = encodeHead({ pagesCount: result.pages.length, ...result }, result.isFirstLeaf!);
        writes.add(uploader.added, AgentDatabase.directoryWrites(frame.key, head, result.pages, frame.record?.head.pagesCount ?? 0));
      }
      if (frame.parent) {
        frame.parent.addChild(result);
        frame.parent.pendingCount--;
        frame.parent.pendingDirectories--;
      }
      frame.onDone(result);
    }
  }

  /** Moves the record's cursor to `name`; what it passes is gone. True when the record has `name`. */
  private passRecordUpTo(level: Level, name: ByteString | undefined): boolean {
    for (; level.cursor; level.recordIndex++) {
      const entry = level.cursor.at(level.recordIndex);
      if (!entry) return false;
      const recorded = entry.page.names[entry.place]!;
      if (name !== undefined && recorded >= name) return recorded === name;
      level.frame.markChanged();
      this.forget(level.frame.key!, recorded, level.recordIndex, level.cursor);
    }
    return false;
  }

  /** Forgets the records of a directory that is gone, and of all below it. */
  private forget(parent: DirectoryKey, name: ByteString, recordIndex: number, cursor: RecordCursor): void {
    const { page, place } = cursor.at(recordIndex)!;
    if (page.object(place).type !== "directory") return;
    const { database, writes } = this.components;
    for (const forgotten of forgetSubtree(database, parent, name)) writes.add(0, forgotten);
  }

  private visit(level: Level, name: ByteString): void {
    const { findings, progress } = this.components;
    const { stat, signature } = this;
    try {
      this.stack.current.statInto(name, stat);
      const isDirectory = statIsDirectory(stat);
      if (!level.above && !this.isWanted(level, name, isDirectory)) return;
      const isRecorded = this.passRecordUpTo(level, name);
      writeChangeSignature(stat, 0, signature, 0);
      const entry = isRecorded ? level.cursor!.at(level.recordIndex)! : undefined;
      const isSame = entry?.page.matches(entry.place, signature) ?? false;
      const recordIndex = isRecorded ? level.recordIndex++ : undefined;
      progress.objectsCount++;
      if (isDirectory) return this.visitDirectory(level, name, isSame ? recordIndex : undefined);
      if (statIsFile(stat)) {
        progress.filesCount++;
        progress.bytes += statSizeBytes(stat);
      }
      if (isSame) return void level.frame.addUnchanged(recordIndex!);
      level.frame.markChanged();
      if (statIsFile(stat)) this.visitFile(level, name);
      else if (statType(stat) === "socket") findings.skippedSocketsCount++;
      else {
        const object = captureOther(this.stack.current, name, stat, this.components.scope, (error) =>
          findings.noteUnreadable(level.frame.pathOf(name), error),
        );
        level.frame.addEntry({ name, object, signature: this.keptSignature() });
      }
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (typeof code !== "string" || !code.startsWith("E")) throw error;
      level.frame.markChanged();
      // Gone since the directory was listed: that is no failure, except of a root.
      if (code !== "ENOENT" || level.above) findings.noteUnreadable(level.frame.pathOf(name), error);
    }
  }

  private isWanted(level: Level, name: ByteString, isDirectory: boolean): boolean {
    if (isDirectory && inodeKey(this.stat) === this.init.ownDirectory) return false;
    if (isDirectory && this.init.oneFileSystem && statDevice(this.stat) !== level.device) return false;
    return this.init.filter === undefined || this.init.filter(level.frame.pathOf(name).slice(1), isDirectory);
  }

  /** The signature to keep for the object just seen: none that a change in the same tick of the clock could pass. */
  private keptSignature(): Uint8Array {
    if (isRacy(this.stat, this.init.racyNs)) return UNTRUSTED_SIGNATURE;
    writeChangeSignature(this.stat, 0, this.signature, 0);
    return Buffer.from(this.signature);
  }

  private visitDirectory(level: Level, name: ByteString, sameAs: number | undefined): void {
    const { frame } = level;
    const rootNode = level.above?.children.get(name);
    const above = rootNode && rootNode.root === undefined ? rootNode : undefined;
    const key = above ? undefined : rootNode ? rootKey(rootNode.root!) : childKey(frame.key!, name);
    const device = rootNode ? statDevice(this.stat) : level.device;
    const directory = this.stack.push(name);
    // From here on it is the opened directory that counts, whatever the name stood for before.
    this.stack.currentStat.copy(this.stat);
    const recordIndex = this.signatureIsStill(this.signature) ? sameAs : undefined;
    const attributes =
      recordIndex === undefined
        ? captureAttributes(this.stat, { fd: directory.fd, isPathOnly: false }, (error) =>
            this.components.findings.noteUnreadable(frame.pathOf(name), error),
          )
        : undefined;
    let slot: number | undefined;
    let entry: FrameEntry | undefined;
    if (attributes) {
      entry = { name, object: undefined, signature: this.keptSignature() };
      frame.addEntry(entry);
    } else slot = frame.addUnchanged(recordIndex!);
    frame.pendingCount++;
    frame.pendingDirectories++;
    const onDone = ({ node, changed }: FrameResult): void => {
      if (entry) entry.object = { name, ...attributes!, type: "directory", node };
      else if (changed) frame.replace(slot!, this.withNode(frame, recordIndex!, node));
    };
    const child = this.newFrame({ parent: frame, name, key, onDone });
    this.enter(child, above, device);
  }

  /** The record's entry for a directory whose attributes are as they were, with its new node. */
  private withNode(frame: DirectoryFrame, recordIndex: number, node: NodePointer): FrameEntry {
    const { page, place } = new RecordCursor(frame.record!).at(recordIndex)!;
    const object = page.object(place);
    return { name: object.name, object: { ...object, type: "directory", node }, signature: page.signature(place) };
  }

  private visitFile(level: Level, name: ByteString): void {
    const { frame } = level;
    const { stat } = this;
    const { scope, findings } = this.components;
    const descriptor = this.stack.current.openSameFile(name, stat);
    let draft;
    try {
      draft = draftFile(descriptor, name, stat, scope, (error) => findings.noteUnreadable(frame.pathOf(name), error));
    } catch (error) {
      closeDescriptor(descriptor);
      throw error;
    }
    const entry: FrameEntry = { name, object: undefined, signature: this.keptSignature() };
    frame.addEntry(entry);
    frame.pendingCount++;
    this.readFilesCount++;
    const complete = (result: ContentResult): void => {
      if (result.state === "read") {
        const restat = result.restat && Buffer.from(result.restat);
        entry.object = completeFile(draft, result, restat) satisfies FileObject;
        if (restat || result.changed) entry.signature = UNTRUSTED_SIGNATURE;
        if (result.changed) findings.noteChanged(frame.pathOf(name));
      } else {
        entry.object = "removed";
        findings.noteUnreadable(frame.pathOf(name), result);
      }
      frame.pendingCount--;
      this.settle(frame);
    };
    this.read({ name, descriptor }, complete);
  }

  /** Has the file read, once for all names of one inode. */
  private read(file: { name: ByteString; descriptor: number }, onDone: (result: ContentResult) => void): void {
    const { stat } = this;
    const sizeBytes = statSizeBytes(stat);
    const job = { ...file, sizeBytes, signature: this.currentSignature(), sparse: statAllocatedBytes(stat) < sizeBytes };
    if (statLinkCount(stat) < 2) return this.components.jobs.submit(job, onDone);
    const isReader = this.linked.readOnce(inodeKey(stat), onDone, (onRead) => this.components.jobs.submit(job, onRead));
    if (!isReader) closeDescriptor(file.descriptor);
  }

  private signatureIsStill(signature: Buffer): boolean {
    return signature.equals(this.currentSignature());
  }

  private currentSignature(): Uint8Array {
    const signature = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
    writeChangeSignature(this.stat, 0, signature, 0);
    return signature;
  }
}
