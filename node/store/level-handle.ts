/** Level as the index uses it: opening, closing, reading ranges, and what its errors mean. */
import { resolve } from "node:path";
import { ClassicLevel } from "classic-level";
import { CostorError } from "#protocol/errors.ts";
import { isNoSpace } from "./disk.ts";

/** The index is not as it was written, or Level no longer works: open it anew, or rebuild it. */
export class IndexFault extends Error {
  /** The disk had no room for Level: what it holds is right, it only has to be opened again. */
  readonly isForWantOfSpace: boolean;

  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "IndexFault";
    this.isForWantOfSpace = /No space left|Disk quota|File too large/i.test(textOfCauses(cause));
  }
}

/** Whether a step of opening or mending failed only because the disk is full. */
export const isForWantOfSpace = (error: unknown): boolean =>
  isNoSpace(error) || (error instanceof IndexFault && error.isForWantOfSpace);

export type Level = ClassicLevel<Buffer, Buffer>;

const levelOptions = {
  keyEncoding: "buffer",
  valueEncoding: "buffer",
  cacheSize: 8 * 1024 * 1024,
  writeBufferSize: 4 * 1024 * 1024,
  // Each open table is mapped, 2 MiB that count as memory of the process.
  maxOpenFiles: 74,
  // Ids are random and values are short: nothing to win.
  compression: false,
} as const;

/** Taken at once: with many, whatever else goes on in this thread waits for them again and again, and memory grows. */
const scanEntriesCount = 512;

/** Entries of a range, in byte order of their keys. */
export async function* entriesOf(level: Level, range: object): AsyncGenerator<[Buffer, Buffer]> {
  const iterator = await guard("reading the index", async () =>
    level.iterator({ ...range, fillCache: false, highWaterMarkBytes: 256 * 1024 }),
  );
  try {
    for (;;) {
      const entries = await guard("reading the index", () => iterator.nextv(scanEntriesCount));
      if (entries.length === 0) return;
      yield* entries as [Buffer, Buffer][];
    }
  } finally {
    await iterator.close();
  }
}

/** Entries read on before a gap is jumped over: as cheap as a jump. */
const readOnCount = 256;

/** Keys that begin with any of some prefixes, which ascend: one walk over all of them, with jumps where they are far apart. */
export async function* keysWithPrefixes(level: Level, prefixes: readonly Buffer[]): AsyncGenerator<Buffer> {
  if (prefixes.length === 0) return;
  const iterator = await guard("reading the index", async () =>
    level.keys({ gte: prefixes[0]!, fillCache: false, highWaterMarkBytes: 64 * 1024 }),
  );
  const next = (): Promise<Buffer[]> => guard("reading the index", () => iterator.nextv(readOnCount));
  try {
    let keys = await next();
    let at = 0;
    for (const prefix of prefixes) {
      while (at < keys.length && keys[at]!.compare(prefix) < 0) at++;
      if (at === keys.length) {
        iterator.seek(prefix);
        keys = await next();
        at = 0;
      }
      while (at < keys.length && keys[at]!.subarray(0, prefix.length).equals(prefix)) {
        yield keys[at++]!;
        if (at < keys.length) continue;
        keys = await next();
        at = 0;
      }
    }
  } finally {
    await iterator.close();
  }
}

/**
 * What this thread has open. A second try within a process would be refused as well, but would end the first one's lock:
 * closing any descriptor of a file drops all of the process's `fcntl` locks on it.
 */
const openLocations = new Set<string>();

/** Undefined when Level's files are damaged. Throws `store-locked`, and {@link IndexFault} for want of space. */
export async function openLevel(location: string): Promise<Level | undefined> {
  const level: Level = new ClassicLevel<Buffer, Buffer>(location, levelOptions);
  try {
    await level.open();
    openLocations.add(resolve(location));
    return level;
  } catch (error) {
    if (textOfCauses(error).includes("LEVEL_LOCKED")) throw lockedError(location, error);
    const fault = new IndexFault("the index does not open", error);
    if (fault.isForWantOfSpace) throw fault;
    return undefined;
  }
}

/** Throws `store-locked` when this thread has Level open at `location`. */
export function assertNotOpenHere(location: string): void {
  if (openLocations.has(resolve(location))) throw lockedError(location, undefined);
}

export async function closeLevel(level: Level): Promise<void> {
  await level.close();
  openLocations.delete(resolve(level.location));
}

function lockedError(location: string, cause: unknown): CostorError {
  return new CostorError("store-locked", `another process has the store at ${location} open`, { cause });
}

/** Makes what Level throws an {@link IndexFault}. */
export async function guard<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (textOfCauses(error).includes("LEVEL_LOCKED")) throw lockedError(what, error);
    throw new IndexFault(`${what} failed: ${(error as Error).message}`, error);
  }
}

function textOfCauses(error: unknown): string {
  let text = "";
  for (let at = error; at instanceof Error; at = at.cause)
    text += `${(at as { code?: string }).code ?? ""} ${at.message}\n`;
  return text;
}
