/**
 * Fetches the content primes of an archive before it needs them: a second walk goes ahead of it, in the same order, so that holders far away
 * always have several questions. Whatever was not foreseen is fetched when it is asked for.
 */
import type { ExportStart } from "#node/export/export-source.ts";
import { walkSubtree } from "#node/export/subtree-walk.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { linkKeyOf } from "#protocol/link-key.ts";
import { type TreeReader, isTreeDamage } from "#protocol/tree-reader.ts";
import type { RescuedSite } from "./rescued-site.ts";

export interface ReadAheadComponents {
  readonly site: Pick<RescuedSite, "readPrimes">;
  readonly tree: TreeReader;
}

/** Fetched in one call. */
const TOGETHER_BYTES = 4 * 1024 * 1024;
const TOGETHER_COUNT = 16;
/** Files of a bundle follow one another: so many primes back, one is not fetched again. */
const REMEMBERED_COUNT = 64;

interface Ahead {
  readonly stored: Promise<Uint8Array>;
  readonly bytes: number;
}

export class ReadAhead implements Disposable {
  readonly #components: ReadAheadComponents;
  readonly #limitBytes: number;
  readonly #end = new AbortController();
  /** In the order of the walk. */
  readonly #ahead = new Map<PrimeId, Ahead>();
  #aheadBytes = 0;
  /** Foreseen, and not asked for yet. */
  #together: { readonly id: PrimeId; readonly answer: PromiseWithResolvers<Uint8Array> }[] = [];
  #togetherBytes = 0;
  readonly #remembered = new Set<PrimeId>();
  #waiting: (() => void) | undefined;

  /**
   * Goes on until it is disposed.
   *
   * @param limitBytes plaintext of what is fetched and not taken yet; one group of primes more may be
   */
  constructor(components: ReadAheadComponents, { start, limitBytes }: { start: ExportStart; limitBytes: number }) {
    this.#components = components;
    this.#limitBytes = limitBytes;
    // What it cannot read is told to whoever comes to it.
    void this.#walk(start).catch(() => undefined);
  }

  /** Throws as {@link RescuedSite.readPrimes}. */
  async fetchPrime(id: PrimeId): Promise<Uint8Array> {
    const found = this.#ahead.get(id);
    if (found === undefined) {
      this.#isRemembered(id);
      return this.#fetchOne(id);
    }
    if (this.#together.some((one) => one.id === id)) this.#send();
    for (const [passed, { bytes }] of this.#ahead) {
      this.#ahead.delete(passed);
      this.#aheadBytes -= bytes;
      if (passed === id) break;
    }
    this.#waiting?.();
    try {
      return await found.stored;
    } catch (error) {
      // It may have been another one of those that were fetched together.
      if (!isCostorError(error)) throw error;
      return this.#fetchOne(id);
    }
  }

  [Symbol.dispose](): void {
    this.#end.abort();
    this.#waiting?.();
  }

  async #fetchOne(id: PrimeId): Promise<Uint8Array> {
    for await (const { stored } of this.#components.site.readPrimes([id])) return stored;
    throw new Error(`prime ${id} was not given`);
  }

  async #walk(start: ExportStart): Promise<void> {
    const { tree } = this.#components;
    const groups = new Set<string>();
    for await (const { object } of walkSubtree(tree, start, this.#end.signal)) {
      if (object.type !== "file") continue;
      const group = linkKeyOf(object);
      if (group !== undefined && groups.has(group)) continue;
      if (group !== undefined) groups.add(group);
      try {
        for await (const { prime } of tree.content(object.content)) await this.#foresee(prime.id, prime.lengthBytes);
      } catch (error) {
        if (!isTreeDamage(error)) throw error;
      }
    }
    this.#send();
  }

  async #foresee(id: PrimeId, bytes: number): Promise<void> {
    if (this.#isRemembered(id)) return;
    while (this.#aheadBytes > this.#limitBytes && !this.#end.signal.aborted) {
      this.#send();
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
    this.#end.signal.throwIfAborted();
    const answer = Promise.withResolvers<Uint8Array>();
    answer.promise.catch(() => undefined);
    this.#ahead.set(id, { stored: answer.promise, bytes });
    this.#aheadBytes += bytes;
    this.#together.push({ id, answer });
    this.#togetherBytes += bytes;
    if (this.#togetherBytes >= TOGETHER_BYTES || this.#together.length >= TOGETHER_COUNT) this.#send();
  }

  /** Whether it is one of the last ones; from now on it is. */
  #isRemembered(id: PrimeId): boolean {
    if (this.#remembered.has(id)) return true;
    this.#remembered.add(id);
    const [oldest] = this.#remembered;
    if (this.#remembered.size > REMEMBERED_COUNT) this.#remembered.delete(oldest!);
    return false;
  }

  /** Asks for what was foreseen so far. */
  #send(): void {
    const together = this.#together;
    if (together.length === 0) return;
    this.#together = [];
    this.#togetherBytes = 0;
    void this.#read(
      together.map(({ id }) => id),
      together.map(({ answer }) => answer),
    );
  }

  async #read(ids: readonly PrimeId[], answers: readonly PromiseWithResolvers<Uint8Array>[]): Promise<void> {
    let at = 0;
    try {
      for await (const { stored } of this.#components.site.readPrimes(ids, this.#end.signal))
        answers[at++]!.resolve(stored);
    } catch (error) {
      for (const answer of answers.slice(at)) answer.reject(error);
    }
  }
}
