/**
 * A disk in memory that writes down every call, can be told to fail, and can say what a crash of the machine could have left:
 * any part of what was not synced yet, names included.
 */
import type { Disk, DiskFile, DiskSpace } from "#node/store/disk.ts";

export type DiskCall =
  | { readonly type: "create"; readonly path: string }
  | { readonly type: "write"; readonly path: string; readonly offset: number; readonly bytes: Buffer }
  | { readonly type: "truncate"; readonly path: string; readonly lengthBytes: number }
  | { readonly type: "sync"; readonly path: string }
  /** The kernel now calls pages clean that never reached the disk: no later sync writes them. */
  | { readonly type: "failed-sync"; readonly path: string }
  | { readonly type: "unlink"; readonly path: string }
  | { readonly type: "sync-directory"; readonly path: string }
  /** What the test says happened here: an acknowledgement, say. */
  | { readonly type: "note"; readonly note: unknown };

/** Fails a call, after taking over `writtenBytes` of a write. */
export interface DiskFault {
  readonly error: Error;
  readonly writtenBytes?: number;
}

export type FaultChoice = (
  call: DiskCall | { readonly type: "read"; readonly path: string; readonly offset: number },
) => DiskFault | undefined;

export const diskError = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

export class RecordingDisk implements Disk {
  readonly files: Map<string, Buffer>;
  readonly calls: DiskCall[] = [];
  chooseFault: FaultChoice = () => undefined;
  freeBytes = 2 ** 40;
  totalBytes = 2 ** 41;

  /** `calls`: what led to `files`. */
  constructor(files: ReadonlyMap<string, Buffer> = new Map(), calls: readonly DiskCall[] = []) {
    this.files = new Map(files);
    this.calls.push(...calls);
  }

  note(note: unknown): void {
    this.calls.push({ type: "note", note });
  }

  async list(directory: string): Promise<string[]> {
    const prefix = `${directory}/`;
    return [...this.files.keys()].filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
  }

  async makeDirectory(): Promise<void> {}

  async openRead(path: string): Promise<DiskFile> {
    if (!this.files.has(path)) throw diskError("ENOENT");
    return new RecordingFile(this, path);
  }

  openWrite(path: string): Promise<DiskFile> {
    return this.openRead(path);
  }

  async create(path: string): Promise<DiskFile> {
    this.run({ type: "create", path });
    return new RecordingFile(this, path);
  }

  async unlink(path: string): Promise<void> {
    if (!this.files.has(path)) throw diskError("ENOENT");
    this.run({ type: "unlink", path });
  }

  async syncDirectory(path: string): Promise<void> {
    this.run({ type: "sync-directory", path });
  }

  async space(): Promise<DiskSpace> {
    return { freeBytes: this.freeBytes, totalBytes: this.totalBytes };
  }

  run(call: DiskCall): void {
    const fault = this.chooseFault(call);
    if (fault === undefined) {
      this.calls.push(call);
      applyCall(this.files, call);
      return;
    }
    if (call.type === "write" && (fault.writtenBytes ?? 0) > 0) {
      const part: DiskCall = { ...call, bytes: call.bytes.subarray(0, fault.writtenBytes) };
      this.calls.push(part);
      applyCall(this.files, part);
    }
    if (call.type === "sync") this.calls.push({ ...call, type: "failed-sync" });
    throw fault.error;
  }
}

class RecordingFile implements DiskFile {
  readonly #disk: RecordingDisk;
  readonly #path: string;

  constructor(disk: RecordingDisk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    const fault = this.#disk.chooseFault({ type: "read", path: this.#path, offset });
    if (fault !== undefined) throw fault.error;
    const part = this.#disk.files.get(this.#path)!.subarray(offset, offset + target.length);
    target.set(part);
    return part.length;
  }

  async write(pieces: readonly Uint8Array[], offset: number): Promise<void> {
    this.#disk.run({ type: "write", path: this.#path, offset, bytes: Buffer.concat(pieces) });
  }

  async sync(): Promise<void> {
    this.#disk.run({ type: "sync", path: this.#path });
  }

  async leaveCache(): Promise<void> {}

  async truncate(lengthBytes: number): Promise<void> {
    this.#disk.run({ type: "truncate", path: this.#path, lengthBytes });
  }

  async sizeBytes(): Promise<number> {
    return this.#disk.files.get(this.#path)!.length;
  }

  async hasName(): Promise<boolean> {
    return this.#disk.files.has(this.#path);
  }

  async close(): Promise<void> {}
}

function applyCall(files: Map<string, Buffer>, call: DiskCall): void {
  if (call.type === "create") files.set(call.path, Buffer.alloc(0));
  else if (call.type === "unlink") files.delete(call.path);
  else if (call.type === "write")
    files.set(call.path, withWrite(files.get(call.path) ?? Buffer.alloc(0), call.offset, call.bytes));
  else if (call.type === "truncate")
    files.set(call.path, Buffer.from(files.get(call.path)!.subarray(0, call.lengthBytes)));
}

function withWrite(before: Buffer, offset: number, bytes: Uint8Array): Buffer {
  const after = Buffer.alloc(Math.max(before.length, offset + bytes.length));
  before.copy(after);
  after.set(bytes, offset);
  return after;
}

/** What becomes of a call that no sync made durable. */
export type CrashChoice =
  | "kept"
  | "lost"
  | { readonly tornAtBytes: 512 | 4096; readonly fill: "nothing" | "zeros" | "garbage" };

/** Numbers in [0, 1); the same seed gives the same ones (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The files after a crash when the first `callsCount` calls had been made. Synced calls are kept; `choose` decides over each other
 * one. In a torn write each sector is there or not by `random`; what is not holds what was there before, zeros or garbage.
 */
export function crashState(
  calls: readonly DiskCall[],
  callsCount: number,
  choose: (call: DiskCall) => CrashChoice,
  random: () => number,
  base: ReadonlyMap<string, Buffer> = new Map(),
): Map<string, Buffer> {
  const made = calls.slice(0, callsCount);
  const files = new Map(base);
  const isDurable = durabilityOf(made);
  for (const [at, call] of made.entries()) {
    const choice = isDurable[at] ? "kept" : choose(call);
    if (choice === "kept") {
      if (call.type === "create" || call.type === "unlink" || files.has((call as { path: string }).path))
        applyCall(files, call);
    } else if (choice !== "lost" && call.type === "write" && files.has(call.path)) {
      files.set(call.path, tornWrite(files.get(call.path)!, call, choice, random));
    }
  }
  return files;
}

function durabilityOf(calls: readonly DiskCall[]): boolean[] {
  const isDurable = calls.map(() => false);
  const isDropped = calls.map(() => false);
  for (const [at, call] of calls.entries()) {
    if (call.type === "sync" || call.type === "failed-sync") {
      for (let before = 0; before < at; before++) {
        const other = calls[before]!;
        if ((other.type !== "write" && other.type !== "truncate") || other.path !== call.path || isDurable[before])
          continue;
        if (call.type === "failed-sync") isDropped[before] = true;
        else if (!isDropped[before]) isDurable[before] = true;
      }
    } else if (call.type === "sync-directory") {
      for (let before = 0; before < at; before++) {
        const other = calls[before]!;
        if ((other.type === "create" || other.type === "unlink") && other.path.startsWith(`${call.path}/`))
          isDurable[before] = true;
      }
    }
  }
  return isDurable;
}

function tornWrite(
  before: Buffer,
  call: DiskCall & { type: "write" },
  choice: Exclude<CrashChoice, string>,
  random: () => number,
): Buffer {
  const end = call.offset + call.bytes.length;
  let after: Buffer = Buffer.from(before);
  for (let start = call.offset; start < end;) {
    const next = Math.min(end, (Math.floor(start / choice.tornAtBytes) + 1) * choice.tornAtBytes);
    const bytes = call.bytes.subarray(start - call.offset, next - call.offset);
    if (random() < 0.5) after = withWrite(after, start, bytes);
    else if (choice.fill === "zeros" && after.length < next)
      after = withWrite(after, start, Buffer.alloc(bytes.length));
    else if (choice.fill === "garbage" && after.length < next) {
      after = withWrite(
        after,
        start,
        Uint8Array.from(bytes, () => Math.floor(random() * 256)),
      );
    }
    start = next;
  }
  return after;
}
