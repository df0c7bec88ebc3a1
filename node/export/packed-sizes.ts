/** What a zip's central directory needs of each entry and the tree does not tell, in 16 bytes an entry. */
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import type { ZipData } from "./zip-records.ts";

const RECORD_BYTES = 16;
const RECORDS_PER_BLOCK_COUNT = 4096;
const FLAG_DEFLATED = 1;
const FLAG_DESCRIPTOR = 2;

export class PackedSizes {
  private readonly blocks: Buffer[] = [];
  private readonly limitCount: number;
  private count = 0;

  constructor(init: { readonly limitCount?: number } = {}) {
    this.limitCount = init.limitCount ?? limits.exportZipEntriesCount;
  }

  /** Throws `limit-exceeded` for an entry too many. */
  add(data: ZipData): void {
    if (this.count >= this.limitCount) {
      throw new CostorError("limit-exceeded", `a zip holds at most ${this.limitCount} entries; a tar holds any number`);
    }
    const index = this.count++ % RECORDS_PER_BLOCK_COUNT;
    if (index === 0) this.blocks.push(Buffer.allocUnsafeSlow(RECORD_BYTES * RECORDS_PER_BLOCK_COUNT));
    const block = this.blocks.at(-1)!;
    block.writeUInt32LE(data.crc32, index * RECORD_BYTES);
    block.writeUInt32LE(
      (data.method === 8 ? FLAG_DEFLATED : 0) | (data.hasDescriptor ? FLAG_DESCRIPTOR : 0),
      index * RECORD_BYTES + 4,
    );
    block.writeDoubleLE(data.packedBytes, index * RECORD_BYTES + 8);
  }

  /** All that was added, in order. */
  *all(): Generator<ZipData, undefined, void> {
    for (let at = 0; at < this.count; at++) {
      const block = this.blocks[Math.floor(at / RECORDS_PER_BLOCK_COUNT)]!;
      const offset = (at % RECORDS_PER_BLOCK_COUNT) * RECORD_BYTES;
      const flags = block.readUInt32LE(offset + 4);
      yield {
        crc32: block.readUInt32LE(offset),
        method: flags & FLAG_DEFLATED ? 8 : 0,
        hasDescriptor: (flags & FLAG_DESCRIPTOR) !== 0,
        packedBytes: block.readDoubleLE(offset + 8),
      };
    }
    return undefined;
  }
}
