/**
 * Gathers what a restore needs of each prime, fetches primes in batches, several at a time, and hands each to the place
 * pool with everything that is made of it. Walk order is bundle order, so that nearly every prime is fetched once.
 */
import type { StoredPrime } from "#protocol/batch.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import type { PrimeReference } from "#protocol/sealing.ts";
import { openFilesLimit } from "#agent/files/open-files.ts";
import { noteDropped } from "#protocol/young-garbage.ts";
import { type Failure, type FileOutcome, type PartWrite, type WholeFile, describeFailure } from "./place-messages.ts";
import type { PlacePool } from "./place-pool.ts";

export interface PrimeSource {
  /** The stored primes in the asked order. */
  readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncIterable<StoredPrime>;
  /** This machine has compared with their ids whatever it gives: the hash, half of the work of opening, is not computed again. */
  readonly isVerified?: boolean;
}

interface Waiting<T, Outcome> {
  readonly item: T;
  readonly onDone: (outcome: Outcome) => void;
}

interface Group {
  readonly reference: PrimeReference;
  readonly files: Waiting<WholeFile, FileOutcome>[];
  readonly writes: Waiting<PartWrite, { failure?: Failure }>[];
}

/** Plaintext bytes and items gathered before they are fetched. */
const GATHERED_BYTES = 4 * 1024 * 1024;
const GATHERED_ITEMS_COUNT = 2048;
const PARALLEL_FETCHES_COUNT = 2;

/** Items under way: each may hold a directory open, and the file that it is a part of. */
const ITEMS_MAX_COUNT = 8192;
const DESCRIPTORS_PER_ITEM_COUNT = 4;

export class PrimeGroups {
  private readonly source: PrimeSource;
  private readonly pool: PlacePool;
  private readonly signal: AbortSignal | undefined;
  private groups = new Map<PrimeId, Group>();
  /** Those that no worker has. */
  private readonly unplaced = new Set<Group>();
  private gatheredBytes = 0;
  private gatheredItems = 0;
  private readonly itemsMaxCount = Math.min(ITEMS_MAX_COUNT, Math.floor(openFilesLimit() / DESCRIPTORS_PER_ITEM_COUNT));
  /** Added and not done. */
  private itemsCount = 0;
  private readonly fetches = new Set<Promise<void>>();
  private failure: unknown;
  fetchedBytes = 0;

  constructor(components: { source: PrimeSource; pool: PlacePool }, init: { signal?: AbortSignal }) {
    this.source = components.source;
    this.pool = components.pool;
    this.signal = init.signal;
  }

  addFile(reference: PrimeReference, file: WholeFile, onDone: (outcome: FileOutcome) => void): void {
    this.group(reference).files.push({ item: file, onDone: this.counted(onDone) });
  }

  addWrite(reference: PrimeReference, write: PartWrite, onDone: (outcome: { failure?: Failure }) => void): void {
    this.group(reference).writes.push({ item: write, onDone: this.counted(onDone) });
  }

  private counted<Outcome>(onDone: (outcome: Outcome) => void): (outcome: Outcome) => void {
    this.itemsCount++;
    return (outcome) => {
      this.itemsCount--;
      onDone(outcome);
    };
  }

  private group(reference: PrimeReference): Group {
    let group = this.groups.get(reference.id);
    if (!group) {
      group = { reference, files: [], writes: [] };
      this.groups.set(reference.id, group);
      this.unplaced.add(group);
      this.gatheredBytes += reference.lengthBytes;
    }
    this.gatheredItems++;
    return group;
  }

  /** To be awaited between additions: starts fetches and waits while enough are under way. */
  async room(): Promise<void> {
    const isFull = this.itemsCount >= this.itemsMaxCount;
    if (!isFull && this.gatheredBytes < GATHERED_BYTES && this.gatheredItems < GATHERED_ITEMS_COUNT) return;
    await this.start();
    while (this.itemsCount >= this.itemsMaxCount) {
      this.check();
      await Promise.race([this.pool.progress(), ...this.fetches]);
    }
  }

  /** Resolves when everything that was added is done. */
  async drain(): Promise<void> {
    await this.start();
    await Promise.all(this.fetches);
    this.check();
    await this.pool.drain();
  }

  /**
   * After a failure: waits until no worker has anything of this restore, and ends the rest as failed. Throws when a worker
   * has failed: then others may still write.
   */
  async abandon(failure: Failure): Promise<void> {
    await Promise.all(this.fetches);
    await this.pool.drain();
    for (const group of this.unplaced) this.failGroup(group, failure);
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
    this.signal?.throwIfAborted();
  }

  private async start(): Promise<void> {
    while (this.fetches.size >= PARALLEL_FETCHES_COUNT) await Promise.race(this.fetches);
    this.check();
    const groups = [...this.groups.values()];
    if (groups.length === 0) return;
    this.groups = new Map();
    this.gatheredBytes = 0;
    this.gatheredItems = 0;
    const fetch = this.fetch(groups).catch((error: unknown) => {
      this.failure ??= error;
    });
    this.fetches.add(fetch);
    void fetch.finally(() => this.fetches.delete(fetch));
  }

  private async fetch(groups: readonly Group[]): Promise<void> {
    let next = 0;
    try {
      for await (const prime of this.source.readPrimes(
        groups.map((group) => group.reference.id),
        this.signal,
      )) {
        await this.pool.room();
        this.place(groups[next++]!, prime.stored);
      }
    } catch (error) {
      if (!isCostorError(error, "prime-missing") && !isCostorError(error, "prime-corrupt")) throw error;
      // One of them cannot be had: the others are asked for alone.
      if (groups.length === 1) this.failGroup(groups[0]!, describeFailure(error));
      else for (const group of groups.slice(next)) await this.fetch([group]);
    }
  }

  private place(group: Group, stored: Uint8Array): void {
    this.fetchedBytes += stored.length;
    // As it came from the line.
    noteDropped(stored.length);
    const task = {
      reference: group.reference,
      stored,
      isVerified: this.source.isVerified ?? false,
      files: group.files.map((file) => file.item),
      writes: group.writes.map((write) => write.item),
    };
    this.unplaced.delete(group);
    this.pool.submit(task, (answer) => {
      if (answer.failure) return this.failGroup(group, answer.failure);
      group.files.forEach((file, index) => file.onDone(answer.files[index]!));
      group.writes.forEach((write, index) => write.onDone(answer.writes[index]!));
    });
  }

  private failGroup(group: Group, failure: Failure): void {
    this.unplaced.delete(group);
    for (const file of group.files) file.onDone({ failure, notes: [] });
    for (const write of group.writes) write.onDone({ failure });
  }
}
