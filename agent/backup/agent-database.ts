/**
 * The agent's local database: what the last snapshot held, so that what did not change is neither read nor sent. It can
 * be lost at any time without harm: the next backup reads everything and sends what the site lacks.
 *
 * Invariant: a record is written only after every prime that it names was acknowledged by the site.
 * Its lock (LevelDB's, which dies with the process) is what keeps two backups of one agent apart.
 */
import { hash, randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { ClassicLevel } from "classic-level";
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { freeBuffer } from "#protocol/freed-buffer.ts";
import { type PrimeId, primeIdFromBytes, primeIdToBytes } from "#protocol/ids.ts";
import type { NodePointer } from "#protocol/tree.ts";
import { CONTENT_KEY_BYTES } from "./content-hash.ts";
import { type BundleHolding, decodeHolding, encodeHolding } from "./bundle-holding.ts";
import { RecordPage, type RecordHead, addToCheck, decodeHead } from "./directory-record.ts";

/** Key spaces: one letter, then a fixed layout. */
const SPACE = { bundle: 0x62, head: 0x64, page: 0x70, content: 0x63, meta: 0x6d, root: 0x72 } as const;
/** Of the records; to be changed with them. */
const FORMAT_NAME = "format";
const FORMAT = Buffer.from("5");
const CONTENT_KEY_NAME = "content-key";
const DIRECTORY_KEY_BYTES = 16;
const BLOCK_CACHE_BYTES = 8 * 1024 * 1024;
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;

export type DirectoryKey = Buffer;

/** The key of a root's record. */
export const rootKey = (path: ByteString): DirectoryKey =>
  hash("sha256", Buffer.from(`root\0${path}`, "latin1"), "buffer").subarray(0, DIRECTORY_KEY_BYTES);

/** The key of a child's record: a constant cost at any depth. */
export const childKey = (parent: DirectoryKey, name: ByteString): DirectoryKey => {
  const bytes = Buffer.allocUnsafe(DIRECTORY_KEY_BYTES + name.length);
  parent.copy(bytes);
  bytes.write(name, DIRECTORY_KEY_BYTES, "latin1");
  return hash("sha256", bytes, "buffer").subarray(0, DIRECTORY_KEY_BYTES);
};

function spaced(space: number, rest: Uint8Array, extraBytes = 0): Buffer {
  const key = Buffer.allocUnsafe(1 + rest.length + extraBytes);
  key[0] = space;
  key.set(rest, 1);
  return key;
}

const headKey = (directory: DirectoryKey): Buffer => spaced(SPACE.head, directory);
const knownKey = (contentHash: Uint8Array): Buffer => spaced(SPACE.content, contentHash);
const metaKey = (name: string): Buffer => spaced(SPACE.meta, Buffer.from(name));
const ROOT_KEY = Buffer.of(SPACE.root);

const bundleKey = (id: PrimeId): Buffer => spaced(SPACE.bundle, primeIdToBytes(id));

function pageKey(directory: DirectoryKey, number: number): Buffer {
  const key = spaced(SPACE.page, directory, 4);
  key.writeUInt32BE(number, 1 + DIRECTORY_KEY_BYTES);
  return key;
}

/** LevelDB does not verify what it reads: each value ends in a CRC-32 of its key and bytes. */
function guard(key: Buffer, value: Uint8Array): Buffer {
  const guarded = Buffer.allocUnsafe(value.length + 4);
  guarded.set(value);
  guarded.writeUInt32LE(crc32(value, crc32(key)), value.length);
  return guarded;
}

/** The value without its guard; undefined for one that is absent or damaged, which is the same to a backup. */
function unguard(key: Buffer, guarded: Buffer | undefined): Buffer | undefined {
  if (!guarded || guarded.length < 4) return undefined;
  const value = guarded.subarray(0, guarded.length - 4);
  return crc32(value, crc32(key)) === guarded.readUInt32LE(value.length) ? value : undefined;
}

const guardedSync = (level: Level, key: Buffer): Buffer | undefined => unguard(key, level.getSync(key));

const put = (key: Buffer, value: Uint8Array): DatabaseWrite => ({ type: "put", key, value: guard(key, value) });

export type DatabaseWrite =
  | { readonly type: "put"; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: "del"; readonly key: Buffer };

/** The pages of a directory's record, in order, one in memory. */
export interface DirectoryRecord {
  readonly head: RecordHead;
  readonly pagesCount: number;
  page(index: number): RecordPage;
}

type Level = ClassicLevel<Buffer, Buffer>;

export class AgentDatabase {
  private readonly level: Level;
  /** Of the content hashes in it; random. */
  readonly contentKey: Buffer;

  private constructor(level: Level, contentKey: Buffer) {
    this.level = level;
    this.contentKey = contentKey;
  }

  /**
   * Opens or makes the database; one that is damaged or of another format is made anew. Throws `agent-busy` when another
   * process has it, `path-unusable` when it cannot be opened for another reason.
   */
  static async open(directory: string): Promise<AgentDatabase> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    let level: Level | undefined;
    try {
      level = await openLevel(directory);
      const contentKey = guardedSync(level, metaKey(CONTENT_KEY_NAME));
      if (contentKey && guardedSync(level, metaKey(FORMAT_NAME))?.equals(FORMAT))
        return new AgentDatabase(level, contentKey);
    } catch (error) {
      const { cause } = error as { cause?: { code?: string; message?: string } };
      if (cause?.code === "LEVEL_LOCKED")
        throw new CostorError("agent-busy", `another process uses ${directory}`, { cause: error });
      if (!isDatabaseDamage(error)) throw databaseFailure(directory, error);
    }
    await level?.close();
    await AgentDatabase.remove(directory);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const made = new AgentDatabase(
      await openLevel(directory).catch((error: unknown) => {
        throw databaseFailure(directory, error);
      }),
      randomBytes(CONTENT_KEY_BYTES),
    );
    await made.write([
      AgentDatabase.metaWrite(CONTENT_KEY_NAME, made.contentKey),
      AgentDatabase.metaWrite(FORMAT_NAME, FORMAT),
    ]);
    return made;
  }

  /** Removes a database, which must be closed. */
  static async remove(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true });
  }

  private get(key: Buffer): Buffer | undefined {
    try {
      return guardedSync(this.level, key);
    } catch (error) {
      throw this.failure(error);
    }
  }

  private async attempt<T>(action: Promise<T>): Promise<T> {
    try {
      return await action;
    } catch (error) {
      throw this.failure(error);
    }
  }

  /** Damage passes as it is, for who makes the database anew. */
  private failure(error: unknown): unknown {
    return isDatabaseDamage(error) ? error : databaseFailure(this.level.location, error);
  }

  /** The record of a directory; undefined when any part of it is missing, damaged, or of another record. */
  directory(key: DirectoryKey): DirectoryRecord | undefined {
    const bytes = this.get(headKey(key));
    if (!bytes) return undefined;
    const headBytes = bytes.readUInt32LE(0);
    const first = new RecordPage(bytes.subarray(4 + headBytes));
    const head = decodeHead(bytes.subarray(4, 4 + headBytes), first);
    const { pageNumbers } = head;
    let check = 0;
    for (const number of pageNumbers) {
      const page = this.get(pageKey(key, number));
      if (!page) return undefined;
      check = addToCheck(check, page);
      freeBuffer(page);
    }
    if (check !== head.pagesCheck) return undefined;
    const page = (index: number): RecordPage =>
      index === 0 ? first : new RecordPage(this.get(pageKey(key, pageNumbers[index - 1]!))!);
    return { head, pagesCount: 1 + pageNumbers.length, page };
  }

  /** The write of a page that no head names yet: the record in force stays whole until {@link headWrites} replace it. */
  static pageWrite(key: DirectoryKey, number: number, page: Buffer): DatabaseWrite {
    return put(pageKey(key, number), page);
  }

  /** The writes that put a record in force, all its pages being written, and remove the pages that only the former one has. */
  static headWrites(
    key: DirectoryKey,
    record: { head: Buffer; firstPage: Buffer; droppedPageNumbers: readonly number[] },
  ): DatabaseWrite[] {
    const { head, firstPage } = record;
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32LE(head.length, 0);
    const write = put(headKey(key), Buffer.concat([length, head, firstPage]));
    return [write, ...AgentDatabase.pageRemovals(key, record.droppedPageNumbers)];
  }

  private static pageRemovals(key: DirectoryKey, numbers: readonly number[]): DatabaseWrite[] {
    return numbers.map((number) => ({ type: "del", key: pageKey(key, number) }));
  }

  /** The writes that forget a directory's record, without what lies below it. */
  static forgetWrites(key: DirectoryKey, { pageNumbers }: RecordHead): DatabaseWrite[] {
    return [{ type: "del", key: headKey(key) }, ...AgentDatabase.pageRemovals(key, pageNumbers)];
  }

  static contentWrite(contentHash: Uint8Array, slice: Buffer): DatabaseWrite {
    return put(knownKey(contentHash), slice);
  }

  /** Where known contents are; undefined for those not known. */
  async contents(contentHashes: readonly Uint8Array[]): Promise<(Buffer | undefined)[]> {
    const keys = contentHashes.map(knownKey);
    const values = await this.attempt(this.level.getMany(keys));
    return values.map((value, i) => unguard(keys[i]!, value));
  }

  meta(name: string): Buffer | undefined {
    return this.get(metaKey(name));
  }

  static metaWrite(name: string, value: Buffer | undefined): DatabaseWrite {
    return value ? put(metaKey(name), value) : { type: "del", key: metaKey(name) };
  }

  /** Remembers the root of the snapshot that was committed. */
  static rootWrite(root: NodePointer): DatabaseWrite {
    return "slice" in root ? put(ROOT_KEY, primeIdToBytes(root.slice.prime.id)) : { type: "del", key: ROOT_KEY };
  }

  /** The prime of the last snapshot's root; undefined when that was inlined. */
  rootId(): PrimeId | undefined {
    const bytes = this.get(ROOT_KEY);
    return bytes && primeIdFromBytes(bytes);
  }

  async write(writes: readonly DatabaseWrite[], durable = false): Promise<void> {
    if (writes.length === 0) return;
    passFailpoint("database.writing");
    await this.attempt(this.level.batch(writes as DatabaseWrite[], { sync: durable }));
    passFailpoint("database.written");
  }

  static bundleWrite(id: PrimeId, holding: BundleHolding | undefined): DatabaseWrite {
    return holding ? put(bundleKey(id), encodeHolding(holding)) : { type: "del", key: bundleKey(id) };
  }

  bundle(id: PrimeId): BundleHolding | undefined {
    const bytes = this.get(bundleKey(id));
    return bytes && decodeHolding(bytes);
  }

  /** Every bundle that the last snapshot holds something of. */
  async *allBundles(): AsyncGenerator<[id: PrimeId, holding: BundleHolding]> {
    const range = { gte: Buffer.of(SPACE.bundle), lt: Buffer.of(SPACE.bundle + 1) };
    for await (const [key, guarded] of this.level.iterator(range)) {
      const bytes = unguard(key, guarded);
      if (bytes) yield [primeIdFromBytes(key.subarray(1)), decodeHolding(bytes)];
    }
  }

  /** Every known content: its hash and where it is. */
  async *allContents(): AsyncGenerator<{ contentHash: Buffer; slice: Buffer }> {
    const range = { gte: Buffer.of(SPACE.content), lt: Buffer.of(SPACE.content + 1) };
    for await (const [key, guarded] of this.level.iterator(range)) {
      const slice = unguard(key, guarded);
      if (slice) yield { contentHash: key.subarray(1), slice };
    }
  }

  /** Forgets every directory and the root, so that the next backup reads all files again; known contents stay. */
  async forgetDirectories(): Promise<void> {
    for (const space of [SPACE.head, SPACE.page, SPACE.bundle, SPACE.root])
      await this.attempt(this.level.clear({ gte: Buffer.of(space), lt: Buffer.of(space + 1) }));
  }

  async forgetContents(contentHashes: readonly Uint8Array[]): Promise<void> {
    const writes = contentHashes.map((contentHash) => ({ type: "del" as const, key: knownKey(contentHash) }));
    await this.attempt(this.level.batch(writes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.level.close();
  }
}

/**
 * Whether an error of the database says that its files are damaged: then it is removed, and made anew. A file that is
 * missing is named wrongly by a damaged one; a full disk or missing rights are no damage.
 */
export function isDatabaseDamage(error: unknown): boolean {
  const { code, message, cause } = error as { code?: string; message?: string; cause?: unknown };
  if (code === "LEVEL_CORRUPTION") return true;
  if (code === "LEVEL_IO_ERROR" && /No such file|Not a directory/.test(message ?? "")) return true;
  return cause !== undefined && isDatabaseDamage(cause);
}

/** A full or failing disk, or rights that are missing; Level's own error holds the path and the cause. */
function databaseFailure(directory: string, error: unknown): CostorError {
  const { message, cause } = error as { message: string; cause?: { message?: string } };
  return new CostorError(
    "path-unusable",
    `the agent's database in ${directory} cannot be used: ${cause?.message ?? message}`,
    { cause: error },
  );
}

async function openLevel(directory: string): Promise<Level> {
  const level: Level = new ClassicLevel(directory, {
    keyEncoding: "buffer",
    valueEncoding: "buffer",
    cacheSize: BLOCK_CACHE_BYTES,
    writeBufferSize: WRITE_BUFFER_BYTES,
  });
  await level.open();
  passFailpoint("database.opened");
  return level;
}
