/**
 * Records what a workload has the store's disk do, and what is promised at each moment; opens the states that a crash of the machine could have
 * left: any part of what was not synced kept, lost or torn, with the index of some earlier moment or none.
 */
import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { StoreEvent } from "#node/store/record-log.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import {
  type CrashChoice,
  crashState,
  type DiskCall,
  RecordingDisk,
  seededRandom,
} from "#test/support/recording-disk.ts";
import { quickScratchDirectory } from "#test/support/scratch.ts";

const ROOM_BYTES = 512 * 1024 * 1024;
const segmentBytes = 12 * 1024;

/** What a store holds after a crash between two moments. */
export interface Crashed<Promised> {
  /** Undefined: the crash was before the first moment. */
  readonly promised: Promised | undefined;
  /** What was promised next: it may be there already. Undefined after the last moment. */
  readonly next: Promised | undefined;
}

export interface CrashWorkload<Promised> {
  readonly title: string;
  /** It damages what it has written: a store that finds that is right. */
  readonly damages?: true;
  /** Works, and notes what is promised after each step. Throws when it did not do what it is for. */
  record(recorder: CrashRecorder<Promised>): Promise<void>;
  /** Throws unless a store holds what was promised and nothing wrong. It may go on with the work. */
  verify(store: SegmentStore, crashed: Crashed<Promised>): Promise<void>;
}

interface Moment {
  readonly promised: unknown;
  readonly generation: string;
  /** A copy of Level's directory. */
  readonly index: string;
}

export class CrashRecorder<Promised> {
  readonly disk = new RecordingDisk();
  readonly #directory: string;
  readonly #indexes: string;
  #momentsCount = 0;
  #store: SegmentStore | undefined;

  private constructor(directory: string, indexes: string) {
    this.#directory = directory;
    this.#indexes = indexes;
  }

  static async make<Promised>(): Promise<CrashRecorder<Promised>> {
    const directory = await quickScratchDirectory("crash-record", ROOM_BYTES);
    return new CrashRecorder(directory, await quickScratchDirectory("crash-indexes", ROOM_BYTES));
  }

  /** Opens the store, after closing it. */
  async open(): Promise<SegmentStore> {
    await this.close();
    const init = { directory: this.#directory, segmentBytes, reserveFileBytes: 0 };
    return (this.#store = await SegmentStore.open(init, { disk: this.disk }));
  }

  async close(): Promise<void> {
    await this.#store?.[Symbol.asyncDispose]();
  }

  /** From here on that is promised: it must not change any more. */
  async note(promised: Promised): Promise<void> {
    const index = join(this.#indexes, String(this.#momentsCount++));
    await copyIndex(join(this.#directory, "index"), index);
    this.disk.note({ promised, generation: this.#store!.generation, index } satisfies Moment);
  }
}

/** Level may remove a file of its own while it is copied. */
async function copyIndex(from: string, to: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await cp(from, to, { recursive: true });
    } catch (error) {
      if (attempt === 9) throw error;
      await rm(to, { recursive: true, force: true });
    }
  }
}

const fills = ["nothing", "zeros", "garbage"] as const;

function chooser(random: () => number): (call: DiskCall) => CrashChoice {
  const mode = random();
  if (mode < 0.15) return () => "kept";
  if (mode < 0.3) return () => "lost";
  return () => {
    const choice = random();
    if (choice < 0.25) return "kept";
    if (choice < 0.4) return "lost";
    return { tornAtBytes: random() < 0.5 ? 512 : 4096, fill: fills[Math.floor(random() * 3)]! };
  };
}

/** A workload that was recorded once, and the states that crashes leave of it. */
export class CrashStates {
  readonly #workload: CrashWorkload<unknown>;
  readonly #calls: readonly DiskCall[];
  readonly #moments: readonly { readonly at: number; readonly moment: Moment }[];
  readonly #directory: string;

  private constructor(workload: CrashWorkload<unknown>, calls: readonly DiskCall[], directory: string) {
    this.#workload = workload;
    this.#calls = calls;
    this.#moments = calls.flatMap((call, at) => (call.type === "note" ? [{ at, moment: call.note as Moment }] : []));
    this.#directory = directory;
  }

  /** `forgetsSyncs`: the disk says that it has synced, and has not. */
  static async of<Promised>(workload: CrashWorkload<Promised>, forgetsSyncs = false): Promise<CrashStates> {
    const recorder = await CrashRecorder.make<Promised>();
    await workload.record(recorder);
    await recorder.close();
    const directory = await quickScratchDirectory("crash-states", ROOM_BYTES);
    const calls = recorder.disk.calls.filter(({ type }) => !(forgetsSyncs && type === "sync"));
    return new CrashStates(workload as CrashWorkload<unknown>, calls, directory);
  }

  get callsCount(): number {
    return this.#calls.length;
  }

  /** The crash that `seed` makes. `isThorough`: the index is compared with one that is made anew, and everything is read. */
  async crashAndOpen(seed: number, isThorough: boolean): Promise<void> {
    const random = seededRandom(seed);
    const callsCount = 1 + Math.floor(random() * this.#calls.length);
    const past = this.#moments.filter(({ at }) => at < callsCount).map(({ moment }) => moment);
    const next = this.#moments[past.length]?.moment;
    let files = crashState(this.#calls, callsCount, chooser(random), random);
    await this.#putIndex(past, random);
    const events: string[] = [];
    const onEvent = ({ event, message }: StoreEvent): void => void (event === "damage-found" && events.push(message));
    const open = (disk: RecordingDisk): Promise<SegmentStore> =>
      SegmentStore.open({ directory: this.#directory, segmentBytes, reserveFileBytes: 0, onEvent }, { disk });
    // A crash while it recovers, up to twice.
    while (random() < 0.3) {
      const disk = new RecordingDisk(files);
      await (await open(disk))[Symbol.asyncDispose]();
      files = crashState(disk.calls, Math.floor(random() * (disk.calls.length + 1)), chooser(random), random, files);
      await this.#putIndex(past, random);
    }
    await using store = await open(new RecordingDisk(files));
    const { damages } = this.#workload;
    if (damages !== true) assert.deepEqual(events, [], "a crash is no damage");
    const generation = past.at(-1)?.generation;
    if (generation !== undefined && damages !== true) assert.equal(store.generation, generation);
    if (isThorough) await verifyIndex(store);
    await this.#workload.verify(store, { promised: past.at(-1)?.promised, next: next?.promised });
    if (isThorough && damages !== true) assert.deepEqual((await store.check({ readData: true })).findings, []);
  }

  async #putIndex(past: readonly Moment[], random: () => number): Promise<void> {
    await rm(join(this.#directory, "index"), { recursive: true, force: true });
    const from = random() < 0.3 ? undefined : past[Math.floor(random() * past.length)];
    if (from !== undefined) await cp(from.index, join(this.#directory, "index"), { recursive: true });
  }
}

/** It is the one that the segments give. */
async function verifyIndex(store: SegmentStore): Promise<void> {
  await store.whenVerified();
  const dump = await store.dump();
  await store.rebuildIndex();
  assert.deepEqual(await store.dump(), dump);
}
