/**
 * Tree primes that queries have fetched, kept as files in the agent's own directory so that the next query is fast. They
 * stay sealed; each is verified by its id when it is read, so damage only costs another fetch. Any file may be deleted
 * at any time, and several processes may use the directory at once.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { verifyPrime } from "#protocol/sealing.ts";

export interface TreeCacheComponents {
  /** The stored bytes of a prime from the site. */
  fetch(id: PrimeId): Promise<Uint8Array>;
  /** Milliseconds since 1970; orders what was used by time. */
  readonly nowMs: () => number;
}

export interface TreeCacheInit {
  readonly directory: string;
  /** Kept at most, after {@link TreeCache.prune}. */
  readonly mostBytes?: number;
}

/** Pruning goes down to this share, so that it is not needed every time. */
const PRUNED_RATIO = 0.8;

export class TreeCache implements AsyncDisposable {
  private readonly components: TreeCacheComponents;
  private readonly directory: string;
  private readonly mostBytes: number;
  private writtenBytes = 0;

  constructor(components: TreeCacheComponents, init: TreeCacheInit) {
    this.components = components;
    this.directory = init.directory;
    this.mostBytes = init.mostBytes ?? limits.treeCacheBytes;
  }

  private pathOf(id: PrimeId): string {
    return join(this.directory, id.slice(0, 2), id);
  }

  /** The verified stored bytes. Throws what fetching throws, and `prime-mismatch` when the site sends other bytes. */
  async fetchPrime(id: PrimeId): Promise<Uint8Array> {
    const kept = await this.readKept(id);
    if (kept) return kept;
    const stored = await this.components.fetch(id);
    verifyPrime(stored, id);
    await this.keep(id, stored);
    return stored;
  }

  private async readKept(id: PrimeId): Promise<Buffer | undefined> {
    const path = this.pathOf(id);
    try {
      const stored = await readFile(path);
      verifyPrime(stored, id);
      const seconds = this.components.nowMs() / 1000;
      await utimes(path, seconds, seconds);
      return stored;
    } catch {
      return undefined;
    }
  }

  /** A full disk or a directory that cannot be written costs speed and nothing else. */
  private async keep(id: PrimeId, stored: Uint8Array): Promise<void> {
    const path = this.pathOf(id);
    const temporary = join(this.directory, `${randomUUID()}.new`);
    try {
      await mkdir(join(this.directory, id.slice(0, 2)), { recursive: true, mode: 0o700 });
      await writeFile(temporary, stored, { mode: 0o600 });
      await rename(temporary, path);
      this.writtenBytes += stored.length;
    } catch {
      await unlink(temporary).catch(() => undefined);
    }
  }

  /** Deletes what was used longest ago until the rest is within bounds, and what interrupted processes left. */
  async prune(): Promise<void> {
    const files: { path: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.directory, { recursive: true }).catch(() => [])) {
      const path = join(this.directory, name);
      const entry = await stat(path).catch(() => undefined);
      if (!entry?.isFile()) continue;
      const isLeftOver = name.endsWith(".new") && entry.mtimeMs < this.components.nowMs() - 3_600_000;
      if (isLeftOver) await unlink(path).catch(() => undefined);
      else files.push({ path, bytes: entry.size, usedMs: entry.mtimeMs });
    }
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    if (bytes <= this.mostBytes) return;
    files.sort((left, right) => left.usedMs - right.usedMs);
    for (const file of files) {
      if (bytes <= this.mostBytes * PRUNED_RATIO) break;
      await unlink(file.path).catch(() => undefined);
      bytes -= file.bytes;
    }
  }

  /** Prunes when this process has added something. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.writtenBytes > 0) await this.prune();
  }
}
