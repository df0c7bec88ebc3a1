/** Reads all segments, and the primes' bytes when asked, and compares them with their checksums and with the index. */
import { type Disk, type DiskFile, hasErrorCode } from "./disk.ts";
import { unhealedDamage } from "./prime-reader.ts";
import type { CheckFinding, CheckInit, CheckReport } from "./prime-store.ts";
import type { DamagedStretch } from "./record-body.ts";
import { findingOf, type FoundDamageComponents, type FoundDamageInit, recordFound } from "./found-damage.ts";
import { parseSegmentName, recordBytes, recordKind, segmentHeaderBytes } from "./record.ts";
import { stretchOf } from "./segment-fold.ts";
import { readSegmentHeader, scanRecords } from "./segment-scan.ts";
import { type LogEnd, segmentPath, segmentsDirectory } from "./segment-writer.ts";

export interface StoreCheckComponents extends FoundDamageComponents {
  readonly disk: Disk;
}

export interface StoreCheckInit extends FoundDamageInit {
  readonly logEnd: () => LogEnd;
  /** Makes the index anew; called in the writer's turn. */
  readonly rebuild: (reason: string) => Promise<void>;
}

export async function checkStore(
  components: StoreCheckComponents,
  check: CheckInit,
  init: StoreCheckInit,
): Promise<CheckReport> {
  return new StoreCheck(components, check, init).run();
}

class StoreCheck {
  readonly #components: StoreCheckComponents;
  readonly #check: CheckInit;
  readonly #init: StoreCheckInit;
  readonly #findings: CheckFinding[] = [];
  readonly #damage: DamagedStretch[] = [];
  #recordsCount = 0;
  #primesCount = 0;
  #verifiedPrimesCount = 0;
  #readBytes = 0;

  constructor(components: StoreCheckComponents, check: CheckInit, init: StoreCheckInit) {
    this.#components = components;
    this.#check = check;
    this.#init = init;
  }

  async run(): Promise<CheckReport> {
    const { live, disk, runAlone } = this.#components;
    await this.#checkIndex();
    const ends = await runAlone(async () => {
      const found = await live.readInTurn((index) => index.segments());
      const { segment, endBytes } = this.#init.logEnd();
      if (segment > 0) found.set(segment, endBytes);
      return [...found].filter((entry): entry is [number, number] => entry[1] !== undefined);
    });
    const totalBytes = ends.reduce((sum, [, endBytes]) => sum + endBytes, 0);
    const names = new Set((await disk.list(segmentsDirectory)).map(parseSegmentName));
    let segmentsCount = 0;
    for (const [segment, endBytes] of ends.toSorted(([a], [b]) => a - b)) {
      this.#check.signal?.throwIfAborted();
      if (await this.#checkSegment(segment, endBytes, names.has(segment), totalBytes)) segmentsCount++;
    }
    const fresh = await recordFound(this.#components, this.#init, this.#damage);
    for (const stretch of fresh) this.#findings.push(findingOf(stretch));
    const quarantined = await live.read(unhealedDamage);
    return {
      segmentsCount,
      recordsCount: this.#recordsCount,
      primesCount: this.#primesCount,
      verifiedPrimesCount: this.#verifiedPrimesCount,
      readBytes: this.#readBytes,
      findings: this.#findings,
      quarantined,
    };
  }

  async #checkIndex(): Promise<void> {
    const { live, runAlone } = this.#components;
    const before = live.incarnation;
    await live.verified("facts");
    await live.verified("rest");
    const isEqual = await runAlone(async () => {
      if (live.incarnation !== before) return false;
      if (await live.verifyInTurn()) return true;
      await this.#init.rebuild("a check found that it is not as it was written");
      return false;
    });
    if (isEqual) return;
    const message = "the index was not as it was written, and was rebuilt";
    this.#findings.push({ what: "index", file: "index", offset: 0, lengthBytes: 0, message });
  }

  /** Whether the segment is there. */
  async #checkSegment(segment: number, endBytes: number, isListed: boolean, totalBytes: number): Promise<boolean> {
    let file: DiskFile;
    try {
      file = await this.#components.disk.openRead(segmentPath(segment));
    } catch (error) {
      // A segment that was listed a moment ago was emptied and removed since.
      if (!hasErrorCode(error, "ENOENT") || isListed) return false;
      const message = `segment ${segment} is missing`;
      this.#findings.push({
        what: "segment-missing",
        file: segmentPath(segment),
        offset: 0,
        lengthBytes: endBytes,
        message,
      });
      this.#damage.push({ segment, offset: 0, lengthBytes: endBytes });
      return false;
    }
    try {
      await this.#checkRecords(segment, endBytes, file, totalBytes);
    } finally {
      await file.close();
    }
    return true;
  }

  async #checkRecords(segment: number, endBytes: number, file: DiskFile, totalBytes: number): Promise<void> {
    const { signal, readData, onProgress } = this.#check;
    const { header, isWhole } = await readSegmentHeader(file, segment);
    if (!isWhole) {
      const message = `the header of segment ${segment} is damaged${header === undefined ? "" : "; its second copy is good"}`;
      this.#findings.push({
        what: "segment-header",
        file: segmentPath(segment),
        offset: 0,
        lengthBytes: segmentHeaderBytes,
        message,
      });
    }
    const startBytes = this.#readBytes;
    const { salt } = await this.#components.live.read(async (index) => index.meta);
    const verifyFromBytes = readData === true ? 0 : Infinity;
    const scan = scanRecords(file, {
      salt,
      segment,
      fromBytes: segmentHeaderBytes,
      toBytes: endBytes,
      verifyFromBytes,
    });
    for await (const item of scan) {
      signal?.throwIfAborted();
      if (item.type === "gap") {
        this.#damage.push(stretchOf(segment, item, item.offset + item.lengthBytes));
        continue;
      }
      this.#recordsCount++;
      if (item.kind === recordKind.prime) this.#primesCount++;
      if (item.kind === recordKind.prime && item.body !== undefined) this.#verifiedPrimesCount++;
      if (item.body !== undefined) this.#readBytes += recordBytes(item.bodyBytes);
      onProgress?.({ doneBytes: startBytes + item.offset, totalBytes });
    }
  }
}
