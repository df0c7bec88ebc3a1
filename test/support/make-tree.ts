/**
 * Builds a tree with everything in it that a backup must bring back exactly, or must survive. Deterministic: equal
 * options give equal trees. What the system refuses (devices without root, attributes on a file system without them)
 * is left out and reported. `removeTrees` in `scratch.ts` removes such a tree.
 */
import { createCipheriv } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { makeNode, setRawXattr, setTimesNs } from "./raw-files.ts";

export interface TreeOptions {
  /** Levels of the deep branch; the issue wants 10,000. */
  readonly deepLevelsCount?: number;
  /** Entries of the wide directory; the issue wants 200,000. */
  readonly wideEntriesCount?: number;
  /** Size of the largest sparse file. */
  readonly sparseBytes?: number;
  /** Whether files and directories that only root can read are made. */
  readonly hasUnreadable?: boolean;
  readonly seed?: number;
}

export interface MadeTree {
  readonly path: string;
  /** What the system did not let us make. */
  readonly leftOut: readonly string[];
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
/** 2024-02-29 12:34:56.987654321, and odd ones: before 1970, past 2038, the last nanosecond of a second. */
const mtimes = [
  1_709_210_096_987_654_321n,
  -1n,
  -86_400_000_000_001n,
  4_102_444_800_000_000_001n,
  999_999_999n,
  1n,
  0n,
];

const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

/** Fills `path`, an existing empty directory. */
export function makeTree(path: string, options: TreeOptions = {}): MadeTree {
  const maker = new TreeMaker(Buffer.from(path), options);
  maker.names();
  maker.sizes();
  maker.sparse();
  maker.links();
  maker.specials();
  maker.modes();
  maker.attributes();
  maker.longPath();
  maker.deep();
  maker.wide();
  maker.times();
  return { path, leftOut: maker.leftOut };
}

class TreeMaker {
  readonly leftOut: string[] = [];
  private readonly root: Buffer;
  private readonly options: TreeOptions;
  private readonly made: Buffer[] = [];
  private readonly isRoot = process.geteuid?.() === 0;

  constructor(root: Buffer, options: TreeOptions) {
    this.root = root;
    this.options = options;
  }

  names(): void {
    this.directory("names");
    const odd = [
      "caf\xc3\xa9",
      "caf\xe9",
      "\xff\xfe\x80",
      "a\nnewline",
      "\x1b[31mred\x1b[0m",
      "-rf",
      " ",
      "back\\slash",
      "quote'\"",
      "tab\t",
      "\xe2\x80\xaertl",
      "...",
    ];
    for (const name of [...odd, "n".repeat(255), "\xe9".repeat(255), "\x01\x7f"])
      this.file(`names/${name}`, Buffer.from(name, "latin1"));
    this.directory(`names/${"d".repeat(255)}`);
    this.file(`names/${"d".repeat(255)}/${"f".repeat(255)}`, Buffer.from("deep name"));
  }

  sizes(): void {
    this.directory("sizes");
    for (const size of [
      0,
      1,
      2,
      4095,
      4096,
      4097,
      256 * KIB - 1,
      256 * KIB,
      256 * KIB + 1,
      4 * MIB - 1,
      4 * MIB,
      4 * MIB + 1,
      9 * MIB + 7,
    ]) {
      this.file(`sizes/random-${size}`, this.bytes(size));
      if (size <= 4 * MIB) this.file(`sizes/zeros-${size}`, Buffer.alloc(size));
    }
    this.directory("sizes/empty");
  }

  sparse(): void {
    this.directory("sparse");
    const largest = this.options.sparseBytes ?? 20 * GIB;
    this.sparseFile("sparse/only-a-hole", 5 * MIB + 3, []);
    this.sparseFile("sparse/hole-first", 3 * MIB, [[2 * MIB, 70_000]]);
    this.sparseFile("sparse/hole-last", 3 * MIB + 1, [[0, 70_000]]);
    this.sparseFile(
      "sparse/many",
      40 * MIB,
      Array.from({ length: 200 }, (_, index) => [index * 200 * KIB, 4096 + index] as const),
    );
    this.sparseFile("sparse/small", 100_000, [[65_536, 10]]);
    this.sparseFile("sparse/large", largest, [
      [0, 10],
      [Math.floor(largest / 2), 300_000],
      [largest - 5, 5],
    ]);
  }

  links(): void {
    this.directory("links");
    this.directory("links/inner");
    this.file("links/one", Buffer.from("linked"));
    for (const name of ["two", "inner/three"]) linkSync(this.at("links/one"), this.at(`links/${name}`));
    this.file("links/large-one", this.bytes(300 * KIB));
    linkSync(this.at("links/large-one"), this.at("links/inner/large-two"));
    const targets = {
      dangling: "no such place",
      absolute: "/etc/passwd",
      up: "../../../../etc",
      loop: "loop",
      "to-directory": "inner",
      "not-utf8": "\xff\xfe",
      long: "x".repeat(1000),
    };
    for (const [name, target] of Object.entries(targets)) this.symlink(`links/${name}`, target);
    linkSync(this.at("links/dangling"), this.at("links/inner/dangling-too"));
  }

  specials(): void {
    this.directory("specials");
    this.node("specials/fifo", S_IFIFO | 0o640);
    this.node("specials/socket", S_IFSOCK | 0o755);
    linkSync(this.at("specials/fifo"), this.at("specials/fifo-too"));
    if (!this.isRoot) return void this.leftOut.push("device nodes: not root");
    this.node("specials/null", S_IFCHR | 0o666, 1, 3);
    this.node("specials/minor", S_IFCHR | 0o600, 10, 1000);
    this.node("specials/block", S_IFBLK | 0o660, 7, 300);
  }

  modes(): void {
    this.directory("modes");
    for (const mode of [0o400, 0o444, 0o600, 0o755, 0o777, 0o4755, 0o2755, 0o6711, 0o1644])
      this.file(`modes/${mode.toString(8)}`, Buffer.from("m"), mode);
    for (const mode of [0o1777, 0o2775, 0o3700]) this.directory(`modes/d${mode.toString(8)}`, mode);
    if (this.options.hasUnreadable ?? this.isRoot) {
      this.file("modes/0", Buffer.from("secret"), 0);
      this.directory("modes/d0", 0);
    }
    this.directory("modes/read-only");
    this.file("modes/read-only/file", Buffer.from("in a read-only directory"), 0o444);
    this.directory("modes/read-only/inner");
    this.file("modes/read-only/inner/file", Buffer.from("deeper"));
    chmodSync(this.at("modes/read-only/inner"), 0o555);
    chmodSync(this.at("modes/read-only"), 0o500);
    if (!this.isRoot) return void this.leftOut.push("owners: not root");
    this.file("modes/owned", Buffer.from("owned"), 0o640);
    this.symlink("modes/owned-link", "owned");
    this.directory("modes/owned-directory");
    chownSync(this.at("modes/owned"), 1, 4);
    lchownSync(this.at("modes/owned-link"), 12_345, 54_321);
    chownSync(this.at("modes/owned-directory"), 4_000_000_000, 12);
    this.file("modes/owned-setuid", Buffer.from("setuid"));
    chownSync(this.at("modes/owned-setuid"), 33, 33);
    chmodSync(this.at("modes/owned-setuid"), 0o6755);
  }

  attributes(): void {
    this.directory("attributes");
    this.directory("attributes/directory");
    this.directory("attributes/inheriting");
    for (const name of ["file", "acl", "capability", "many"]) this.file(`attributes/${name}`, Buffer.from(name), 0o640);
    this.symlink("attributes/link", "file");
    this.node("attributes/fifo", S_IFIFO | 0o600);
    this.xattr("attributes/file", "user.text", Buffer.from("value"));
    this.xattr("attributes/file", "user.empty", Buffer.alloc(0));
    this.xattr("attributes/file", "user.binary", Buffer.from([0, 255, 10, 0, 61]));
    this.xattr("attributes/file", "user.n\xff\xe9", Buffer.from("name is not UTF-8"));
    this.xattr("attributes/directory", "user.on-directory", this.bytes(1000));
    for (let index = 0; index < 20; index++) this.xattr("attributes/many", `user.${index}`, this.bytes(index * 5));
    this.xattr("attributes/acl", "system.posix_acl_access", accessControlList(6, 4));
    this.xattr("attributes/inheriting", "system.posix_acl_access", accessControlList(7, 7));
    this.xattr("attributes/inheriting", "system.posix_acl_default", accessControlList(7, 5));
    if (!this.isRoot) return void this.leftOut.push("trusted and security attributes: not root");
    this.xattr(
      "attributes/capability",
      "security.capability",
      Buffer.from("0100000200040000000000000000000000000000", "hex"),
    );
    for (const name of ["link", "fifo", "file"])
      this.xattr(`attributes/${name}`, "trusted.costor", Buffer.from([0, 1, 2, 255]));
  }

  /** A path of more than 5,000 bytes: past PATH_MAX. */
  longPath(): void {
    this.nested(
      "long",
      Array.from({ length: 21 }, (_, index) => `${index}-`.padEnd(250, "l")),
    );
  }

  deep(): void {
    this.nested(
      "deep",
      Array.from({ length: this.options.deepLevelsCount ?? 300 }, () => "d"),
    );
  }

  wide(): void {
    this.directory("wide");
    const count = this.options.wideEntriesCount ?? 3000;
    for (let index = 0; index < count; index++)
      writeFileSync(this.at(`wide/${index.toString(36)}-entry`), index % 7 === 0 ? `${index}` : "");
  }

  /** Gives every object its time, the deepest first, so that none is changed afterwards. */
  times(): void {
    for (const [index, path] of this.made.toReversed().entries())
      setTimesNs(path, mtimes[index % mtimes.length]! + BigInt(index) * 1_000_000_007n);
    setTimesNs(this.root, mtimes[0]!);
  }

  private at(path: string): Buffer {
    return Buffer.concat([this.root, Buffer.from(`/${path}`, "latin1")]);
  }

  private bytes(length: number): Buffer {
    const iv = Buffer.alloc(16);
    iv.writeUInt32BE(length, 0);
    iv.writeUInt32BE(this.options.seed ?? 1, 4);
    return createCipheriv("aes-128-ctr", Buffer.alloc(16, 7), iv).update(Buffer.alloc(length));
  }

  private directory(path: string, mode = 0o755): void {
    mkdirSync(this.at(path));
    chmodSync(this.at(path), mode);
    this.made.push(this.at(path));
  }

  private file(path: string, bytes: Buffer, mode = 0o644): void {
    writeFileSync(this.at(path), bytes);
    chmodSync(this.at(path), mode);
    this.made.push(this.at(path));
  }

  private symlink(path: string, target: string): void {
    symlinkSync(Buffer.from(target, "latin1"), this.at(path));
    this.made.push(this.at(path));
  }

  private node(path: string, mode: number, major = 0, minor = 0): void {
    if (!makeNode(this.at(path), mode, major, minor)) return void this.leftOut.push(`node ${path}`);
    chmodSync(this.at(path), mode & 0o7777);
    this.made.push(this.at(path));
  }

  private xattr(path: string, name: string, value: Buffer): void {
    if (!setRawXattr(this.at(path), name, value)) this.leftOut.push(`attribute ${JSON.stringify(name)} of ${path}`);
  }

  private sparseFile(
    path: string,
    sizeBytes: number,
    data: readonly (readonly [offset: number, length: number])[],
  ): void {
    const fd = openSync(this.at(path), "wx");
    ftruncateSync(fd, sizeBytes);
    for (const [offset, length] of data) writeSync(fd, this.bytes(length), 0, length, offset);
    closeSync(fd);
    this.made.push(this.at(path));
  }

  /** Directories inside each other, by descriptors, with a file in the last one. */
  private nested(first: string, names: readonly string[]): void {
    this.directory(first);
    let fd = openSync(this.at(first), constants.O_RDONLY | constants.O_DIRECTORY);
    for (const [index, name] of names.entries()) {
      const path = `/proc/self/fd/${fd}/${name}`;
      mkdirSync(path);
      if (index % 100 === 0) writeFileSync(`/proc/self/fd/${fd}/file`, `${index}`);
      const next = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
      closeSync(fd);
      fd = next;
    }
    writeFileSync(`/proc/self/fd/${fd}/bottom`, "bottom");
    closeSync(fd);
  }
}

/** A POSIX ACL as the kernel keeps it: version 2; then owner, user 1, group, mask and others. */
function accessControlList(owner: number, user: number): Buffer {
  const entries = [
    [0x01, owner, -1],
    [0x02, user, 1],
    [0x04, 4, -1],
    [0x10, user | 4, -1],
    [0x20, 0, -1],
  ] as const;
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permission, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permission, 6 + index * 8);
    bytes.writeInt32LE(id, 8 + index * 8);
  }
  return bytes;
}
