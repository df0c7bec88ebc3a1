/**
 * Reads the store in a copied data directory: no lock, no index, and nothing is written, so that the disk may be mounted
 * read-only, damaged, and lacking anything but segments. Where primes and facts lie is found by reading all records' heads once.
 *
 * All that is valid is believed, also a torn tail and what was deleted since: what was never acknowledged harms nobody here.
 */
import type { FactKind } from "./prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import { type PrimeId, primeIdToBytes } from "#protocol/ids.ts";
import { type Disk, type DiskFile, hasErrorCode } from "./disk.ts";
import { PrimePlaces } from "./prime-places.ts";
import { decodeFact } from "./record-body.ts";
import {
  type RecordPlace,
  type StoreSalt,
  parseSegmentName,
  recordHeaderBytes,
  recordKind,
  segmentHeaderBytes,
  sha256,
} from "./record.ts";
import { readSegmentHeader, type ScannedRecord, scanRecords } from "./segment-scan.ts";
import { SegmentReader } from "./segment-reader.ts";
import { segmentPath, segmentsDirectory } from "./segment-writer.ts";
import { chooseSalt } from "./store-opening.ts";

interface FactPlace extends RecordPlace {
  readonly bodyBytes: number;
  readonly digest: Buffer;
}

export interface ScanProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface CopiedStoreInit {
  readonly onProgress?: (progress: ScanProgress) => void;
  readonly signal?: AbortSignal;
}

interface CopiedSegment {
  readonly segment: number;
  readonly sizeBytes: number;
  readonly header: { readonly salt: StoreSalt } | undefined;
}

export class CopiedStore implements AsyncDisposable {
  readonly #disk: Disk;
  readonly #reader: SegmentReader;
  readonly #places = new PrimePlaces();
  /** By kind and key. */
  readonly #facts = new Map<string, Map<string, FactPlace>>();
  #damagedBytes = 0;

  private constructor(disk: Disk, salt: StoreSalt) {
    this.#disk = disk;
    this.#reader = new SegmentReader({ disk }, { salt });
  }

  /** Throws `store-missing` when there is no segment that says of which store it is. */
  static async open({ disk }: { disk: Disk }, { onProgress, signal }: CopiedStoreInit = {}): Promise<CopiedStore> {
    const segments = await findCopied(disk);
    const salts = segments.flatMap(({ header }) => (header === undefined ? [] : [header]));
    if (salts.length === 0) throw new CostorError("store-missing", "no segment of a store is here that can be read");
    const salt = chooseSalt(segments, undefined);
    const store = new CopiedStore(disk, salt);
    const totalBytes = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    let doneBytes = 0;
    for (const found of segments) {
      const isForeign = found.header !== undefined && !found.header.salt.equals(salt);
      if (isForeign) store.#damagedBytes += found.sizeBytes;
      else
        await store.#scan(
          found,
          salt,
          (atBytes) => onProgress?.({ doneBytes: doneBytes + atBytes, totalBytes }),
          signal,
        );
      doneBytes += found.sizeBytes;
    }
    return store;
  }

  get primesCount(): number {
    return this.#places.count;
  }

  /** Of stretches without a valid record, and of segments of another store. */
  get damagedBytes(): number {
    return this.#damagedBytes;
  }

  /** The newest copy that is whole. Throws `prime-missing`, `prime-corrupt`. */
  async get(id: PrimeId): Promise<Buffer> {
    const digest = primeIdToBytes(id);
    const places = this.#places.of(digest);
    let cause: unknown;
    for (const place of places) {
      try {
        const result = await this.#reader.read(digest, place);
        if (typeof result === "object") return result.stored;
      } catch (error) {
        cause = error;
      }
    }
    if (places.length === 0)
      throw new CostorError("prime-missing", `prime ${id} is not in this copy`, { details: { id } });
    throw new CostorError("prime-corrupt", `prime ${id} is damaged in this copy`, { cause, details: { id } });
  }

  async fact(kind: FactKind, key: string): Promise<Buffer | undefined> {
    const place = this.#facts.get(kind)?.get(key);
    return place && (await this.#read(place));
  }

  /** In byte order of the keys, those that start with `prefix`; what is damaged is passed over. */
  async *facts(kind: FactKind, prefix = ""): AsyncGenerator<{ key: string; value: Buffer }> {
    const keys = [...(this.#facts.get(kind)?.keys() ?? [])].filter((key) => key.startsWith(prefix));
    const sorted = keys.map((key) => Buffer.from(key)).toSorted(Buffer.compare);
    for (const bytes of sorted) {
      const key = bytes.toString();
      const value = await this.fact(kind, key);
      if (value !== undefined) yield { key, value };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.close();
  }

  async #scan(
    { segment, sizeBytes }: CopiedSegment,
    salt: StoreSalt,
    onAt: (atBytes: number) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const file = await this.#disk.openRead(segmentPath(segment));
    try {
      const init = { salt, segment, fromBytes: segmentHeaderBytes, toBytes: sizeBytes, verifyFromBytes: Infinity };
      for await (const item of scanRecords(file, init)) {
        signal?.throwIfAborted();
        onAt(item.offset);
        if (item.type === "gap") this.#damagedBytes += item.lengthBytes;
        else this.#note(segment, item);
      }
    } finally {
      await file.close();
    }
  }

  #note(segment: number, { kind, offset, bodyBytes, digest, body }: ScannedRecord): void {
    if (kind === recordKind.prime) return this.#places.add(digest, { segment, offset, bodyBytes });
    if (kind !== recordKind.fact && kind !== recordKind.factRemoval) return;
    const { kind: factKind, key } = decodeFact(body!);
    const facts = this.#facts.get(factKind) ?? new Map<string, FactPlace>();
    this.#facts.set(factKind, facts);
    const text = key.toString("utf8");
    if (kind === recordKind.factRemoval) facts.delete(text);
    else facts.set(text, { segment, offset, bodyBytes, digest });
  }

  async #read({ segment, offset, bodyBytes, digest }: FactPlace): Promise<Buffer | undefined> {
    const file = await this.#disk.openRead(segmentPath(segment));
    try {
      const body = Buffer.allocUnsafe(bodyBytes);
      const isWhole = (await file.read(body, offset + recordHeaderBytes)) === bodyBytes && sha256(body).equals(digest);
      return isWhole ? decodeFact(body).value : undefined;
    } finally {
      await file.close();
    }
  }
}

/** What can be opened, in order. A segment that cannot be read at all is as one that is not there. */
async function findCopied(disk: Disk): Promise<CopiedSegment[]> {
  const names = await disk.list(segmentsDirectory).catch((error: unknown) => {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  });
  const numbers = names.map(parseSegmentName).filter((number) => number !== undefined);
  const found: CopiedSegment[] = [];
  for (const segment of numbers.toSorted((a, b) => a - b)) {
    const file = await disk.openRead(segmentPath(segment)).catch(() => undefined);
    if (file === undefined) continue;
    try {
      found.push({ segment, ...(await readCopied(file, segment)) });
    } finally {
      await file.close();
    }
  }
  return found;
}

async function readCopied(file: DiskFile, segment: number): Promise<Omit<CopiedSegment, "segment">> {
  const { header } = await readSegmentHeader(file, segment);
  return { sizeBytes: await file.sizeBytes(), header };
}
