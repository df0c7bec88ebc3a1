import * as fs from "node:fs";
import { mkdir, readdir, statfs, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Disk, DiskFile, DiskSpace } from "./disk.ts";

const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);
const ftruncate = promisify(fs.ftruncate);
const fstat = promisify(fs.fstat);

/** Linux takes 1,024 pieces in one call (IOV_MAX); a smaller number keeps one call's work even. */
const piecesPerCallCount = 512;

/** The file system below one directory. */
export class NodeDisk implements Disk {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  list(directory: string): Promise<string[]> {
    return readdir(join(this.#root, directory));
  }

  async makeDirectory(directory: string): Promise<void> {
    const path = join(this.#root, directory);
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let made = path; ; made = dirname(made)) {
      await syncPath(dirname(made));
      if (made === first || made === dirname(made)) return;
    }
  }

  openRead(path: string): Promise<DiskFile> {
    return this.#open(path, "r");
  }

  openWrite(path: string): Promise<DiskFile> {
    return this.#open(path, "r+");
  }

  create(path: string): Promise<DiskFile> {
    return this.#open(path, "w+");
  }

  unlink(path: string): Promise<void> {
    return unlink(join(this.#root, path));
  }

  syncDirectory(directory: string): Promise<void> {
    return syncPath(join(this.#root, directory));
  }

  async space(): Promise<DiskSpace> {
    const found = await statfs(this.#root);
    return { freeBytes: found.bavail * found.bsize, totalBytes: found.blocks * found.bsize };
  }

  async #open(path: string, flags: string): Promise<DiskFile> {
    return new NodeFile(await openFile(join(this.#root, path), flags, 0o600));
  }
}

async function syncPath(path: string): Promise<void> {
  const descriptor = await openFile(path, "r");
  try {
    await fsync(descriptor);
  } finally {
    await closeFile(descriptor);
  }
}

class NodeFile implements DiskFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const count = await readOnce(this.#descriptor, target, done, offsetBytes + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    let at = offsetBytes;
    let left = pieces.filter((piece) => piece.length > 0);
    while (left.length > 0) {
      let written = await writeOnce(this.#descriptor, left.slice(0, piecesPerCallCount), at);
      at += written;
      let whole = 0;
      while (whole < left.length && left[whole]!.length <= written) written -= left[whole++]!.length;
      left = left.slice(whole);
      if (written > 0) left[0] = left[0]!.subarray(written);
    }
  }

  sync(): Promise<void> {
    return fdatasync(this.#descriptor);
  }

  async leaveCache(offsetBytes: number, lengthBytes: number): Promise<void> {
    if (process.platform !== "linux") return;
    try {
      const { leavePageCache } = await import("#agent/files/page-cache.ts");
      leavePageCache(this.#descriptor, offsetBytes, lengthBytes);
    } catch {
      // A C library that cannot be called costs memory, and no data.
    }
  }

  truncate(lengthBytes: number): Promise<void> {
    return ftruncate(this.#descriptor, lengthBytes);
  }

  async sizeBytes(): Promise<number> {
    return (await fstat(this.#descriptor)).size;
  }

  async hasName(): Promise<boolean> {
    return (await fstat(this.#descriptor)).nlink > 0;
  }

  close(): Promise<void> {
    return closeFile(this.#descriptor);
  }
}

function readOnce(descriptor: number, target: Uint8Array, start: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(descriptor, target, start, target.length - start, position, (error, count) =>
      error ? reject(error) : resolve(count),
    );
  });
}

function writeOnce(descriptor: number, pieces: Uint8Array[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.writev(descriptor, pieces, position, (error, count) => {
      if (error) reject(error);
      // A write of nothing would be tried for ever.
      else if (count === 0) reject(Object.assign(new Error("the disk took no bytes"), { code: "EIO" }));
      else resolve(count);
    });
  });
}
