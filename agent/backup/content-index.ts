/**
 * Which contents this agent has sent before, by their keyed hash: in the database for what was acknowledged, in memory for
 * what is under way (bounded: what falls out is sealed again, never lost).
 */
import type { PrimeId } from "#protocol/ids.ts";
import type { ContentSlice } from "#protocol/tree.ts";
import { AgentDatabase, type DatabaseWrite } from "./agent-database.ts";
import { CONTENT_HASH_BYTES } from "./content-hash.ts";
import { decodeSlice, encodeSlice } from "./content-slices.ts";

const RECENT_COUNT = 4096;

export class ContentIndex {
  private readonly database: AgentDatabase;
  private readonly worn: ReadonlySet<PrimeId>;
  private readonly recent = new Map<string, ContentSlice>();

  /** What is in `worn` bundles counts as unknown. */
  constructor(components: { database: AgentDatabase }, init: { worn?: ReadonlySet<PrimeId> } = {}) {
    this.database = components.database;
    this.worn = init.worn ?? new Set();
  }

  /** Where each of these contents is; `undefined` for what has to be sealed. A hash of zeros stands for no content. */
  async find(hashes: Uint8Array): Promise<(ContentSlice | undefined)[]> {
    const all: Buffer[] = [];
    const bytes = Buffer.from(hashes.buffer, hashes.byteOffset, hashes.length);
    for (let at = 0; at < bytes.length; at += CONTENT_HASH_BYTES) all.push(bytes.subarray(at, at + CONTENT_HASH_BYTES));
    const found = all.map((contentHash) => this.recent.get(contentHash.toString("latin1")));
    const askIndexes = found.flatMap((slice, index) => (slice ? [] : [index]));
    const values = await this.database.contents(askIndexes.map((index) => all[index]!));
    values.forEach((value, i) => {
      const slice = value && decodeSlice(value);
      if (slice && !this.worn.has(slice.prime.id)) found[askIndexes[i]!] = slice;
    });
    return found;
  }

  /** Notes content that was sealed just now; the write belongs behind its prime's acknowledgement. */
  note(contentHash: Uint8Array, slice: ContentSlice): DatabaseWrite {
    if (this.recent.size >= RECENT_COUNT) this.recent.delete(this.recent.keys().next().value!);
    this.recent.set(Buffer.from(contentHash).toString("latin1"), slice);
    return AgentDatabase.contentWrite(contentHash, encodeSlice(slice));
  }
}
