/**
 * Compares two trees exactly: names, types, bytes, modes, owners, modification times to the nanosecond (of directories
 * and symlinks too), extended attributes byte by byte, which names share an inode, where sparse files hold data, device
 * numbers, link targets. It shares no code with the product, recurses nowhere, and goes past PATH_MAX.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  readdirSync,
  readlinkSync,
} from "node:fs";
import { type RawExtent, rawExtents, rawXattrs } from "./raw-files.ts";

export interface CompareOptions {
  /** For restores without root. */
  readonly ignoresOwners?: boolean;
  /** For trees on two file systems that keep holes, or attributes, differently. */
  readonly ignoresExtents?: boolean;
  readonly ignoresXattrs?: boolean;
  /** Whether the attributes of the two roots are compared too; they are unless told otherwise. */
  readonly comparesRoots?: boolean;
  /** Paths below the roots (byte strings) to leave out, with all in them. */
  readonly excludes?: (path: string) => boolean;
  /** No more than this many differences are described. */
  readonly differencesMaxCount?: number;
}

export interface Comparison {
  /** One line each; empty when the trees are equal. */
  readonly differences: readonly string[];
  readonly objectsCount: number;
  readonly fileBytes: bigint;
  /** Sockets of the first tree that the second lacks, which is as it should be. */
  readonly socketsLeftOutCount: number;
}

type Side = "a" | "b";

interface Level {
  readonly name: string;
  readonly waiting: string[];
}

export function compareTrees(a: string, b: string, options: CompareOptions = {}): Comparison {
  const comparer = new Comparer(options);
  comparer.run(a, b);
  return comparer;
}

/** Only the differences; none when the trees are equal. */
export const treeDifferences = (a: string, b: string, options: CompareOptions = {}): readonly string[] =>
  compareTrees(a, b, options).differences;

class Comparer implements Comparison {
  readonly differences: string[] = [];
  objectsCount = 0;
  fileBytes = 0n;
  socketsLeftOutCount = 0;

  private readonly options: CompareOptions;
  /** The first path of each inode that has several names, and the same for the second tree. */
  private readonly firstPaths = { a: new Map<string, string>(), b: new Map<string, string>() };
  private readonly levels: Level[] = [];
  private readonly buffers = { a: Buffer.alloc(1 << 20), b: Buffer.alloc(1 << 20) };
  private directories = { a: -1, b: -1 };

  constructor(options: CompareOptions) {
    this.options = options;
  }

  run(a: string, b: string): void {
    this.directories = { a: openDirectory(Buffer.from(a)), b: openDirectory(Buffer.from(b)) };
    if (this.options.comparesRoots !== false) {
      this.compareAttributes(".", this.selfPaths(), statOf(this.directories.a), statOf(this.directories.b));
    }
    this.levels.push({ name: "", waiting: this.compareNames() });
    while (this.levels.length > 0 && !this.isFull) {
      const name = this.levels.at(-1)!.waiting.pop();
      if (name !== undefined) this.compareObject(name);
      else if (this.levels.pop() && this.levels.length > 0) this.move("..");
    }
    closeSync(this.directories.a);
    closeSync(this.directories.b);
  }

  /** The common names of the current directories; the others are differences. */
  private compareNames(): string[] {
    const names = { a: this.list("a"), b: new Set(this.list("b")) };
    const common: string[] = [];
    for (const name of names.a) {
      if (names.b.delete(name)) common.push(name);
      else if (lstatSync(inside(this.directories.a, name)).isSocket()) this.socketsLeftOutCount++;
      else this.differ(name, "is missing in the second tree");
    }
    for (const name of names.b) this.differ(name, "is in the second tree only");
    return common.sort();
  }

  private list(side: Side): string[] {
    const names = readdirSync(Buffer.from(`/proc/self/fd/${this.directories[side]}`), { encoding: "buffer" }).map(
      (name) => name.toString("latin1"),
    );
    return this.options.excludes ? names.filter((name) => !this.options.excludes!(this.pathOf(name))) : names;
  }

  private move(name: string): void {
    const { a, b } = this.directories;
    this.directories = { a: openDirectory(inside(a, name)), b: openDirectory(inside(b, name)) };
    closeSync(a);
    closeSync(b);
  }

  private compareObject(name: string): void {
    this.objectsCount++;
    const paths = { a: inside(this.directories.a, name), b: inside(this.directories.b, name) };
    const a = lstatSync(paths.a, { bigint: true });
    const b = lstatSync(paths.b, { bigint: true });
    if ((a.mode & 0o170000n) !== (b.mode & 0o170000n))
      return this.differ(name, `has type ${typeOf(a)} and ${typeOf(b)}`);
    this.compareAttributes(name, paths, a, b);
    if (!a.isDirectory()) this.compareLinks(name, a, b);
    if (a.isSymbolicLink())
      this.equal(name, "target", readlinkSync(paths.a, "latin1"), readlinkSync(paths.b, "latin1"));
    else if (a.isCharacterDevice() || a.isBlockDevice()) this.equal(name, "device number", a.rdev, b.rdev);
    else if (a.isFile()) this.compareFiles(name, paths, a, b);
    else if (a.isDirectory()) {
      this.levels.push({ name, waiting: [] });
      this.move(name);
      for (const child of this.compareNames()) this.levels.at(-1)!.waiting.push(child);
    }
  }

  private compareAttributes(name: string, paths: Record<Side, Buffer>, a: BigIntStats, b: BigIntStats): void {
    if (!a.isSymbolicLink()) this.equal(name, "mode", (a.mode & 0o7777n).toString(8), (b.mode & 0o7777n).toString(8));
    if (!this.options.ignoresOwners) this.equal(name, "owner", `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`);
    this.equal(name, "mtime", a.mtimeNs, b.mtimeNs);
    if (!this.options.ignoresXattrs)
      this.equal(name, "extended attributes", rawXattrs(paths.a).join(" "), rawXattrs(paths.b).join(" "));
  }

  private compareLinks(name: string, a: BigIntStats, b: BigIntStats): void {
    if (a.nlink === 1n && b.nlink === 1n) return;
    this.equal(name, "first name of its inode", this.firstPathOf("a", name, a), this.firstPathOf("b", name, b));
  }

  private firstPathOf(side: Side, name: string, stat: BigIntStats): string {
    const key = `${stat.dev} ${stat.ino}`;
    const path = this.pathOf(name);
    const first = this.firstPaths[side].get(key) ?? path;
    this.firstPaths[side].set(key, first);
    return first;
  }

  private compareFiles(name: string, paths: Record<Side, Buffer>, a: BigIntStats, b: BigIntStats): void {
    this.equal(name, "size", a.size, b.size);
    if (a.size !== b.size) return;
    this.fileBytes += a.size;
    const sizeBytes = Number(a.size);
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW;
    const fds = { a: openSync(paths.a, flags), b: openSync(paths.b, flags) };
    try {
      const isSparse = a.blocks * 512n < a.size || b.blocks * 512n < b.size;
      const whole = [{ start: 0, end: sizeBytes }];
      const extents = isSparse
        ? { a: rawExtents(fds.a, sizeBytes), b: rawExtents(fds.b, sizeBytes) }
        : { a: whole, b: whole };
      if (!this.options.ignoresExtents)
        this.equal(name, "data extents", showExtents(extents.a), showExtents(extents.b));
      for (const range of [...extents.a, ...extents.b]) {
        const at = this.firstDifference(fds, range);
        if (at !== undefined) return this.differ(name, `differs in its bytes at ${at}`);
        if (!isSparse) break;
      }
    } finally {
      closeSync(fds.a);
      closeSync(fds.b);
    }
  }

  private firstDifference(fds: Record<Side, number>, { start, end }: RawExtent): number | undefined {
    for (let at = start; at < end;) {
      const wanted = Math.min(this.buffers.a.length, end - at);
      const read = readSync(fds.a, this.buffers.a, 0, wanted, at);
      const other = readSync(fds.b, this.buffers.b, 0, wanted, at);
      if (read === 0 || read !== other || this.buffers.a.compare(this.buffers.b, 0, read, 0, read) !== 0) return at;
      at += read;
    }
    return undefined;
  }

  private selfPaths(): Record<Side, Buffer> {
    return { a: inside(this.directories.a, "."), b: inside(this.directories.b, ".") };
  }

  private equal(name: string, what: string, a: unknown, b: unknown): void {
    if (a !== b) this.differ(name, `has ${what} ${a} and ${b}`);
  }

  private get isFull(): boolean {
    return this.differences.length >= (this.options.differencesMaxCount ?? 50);
  }

  private differ(name: string, what: string): void {
    if (!this.isFull) this.differences.push(`${JSON.stringify(this.pathOf(name))} ${what}`);
  }

  private pathOf(name: string): string {
    const names = this.levels.slice(1).map((level) => level.name);
    return names.length > 64 ? `…${names.length} levels/${name}` : [...names, name].join("/");
  }
}

const openDirectory = (path: Buffer): number =>
  openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
const statOf = (fd: number): BigIntStats => fstatSync(fd, { bigint: true });
const inside = (fd: number, name: string): Buffer => Buffer.from(`/proc/self/fd/${fd}/${name}`, "latin1");
const typeOf = (stat: BigIntStats): string => (stat.mode & 0o170000n).toString(8);
const showExtents = (extents: readonly RawExtent[]): string =>
  extents.map((extent) => `${extent.start}-${extent.end}`).join(",");
