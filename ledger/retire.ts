/** The entry by which an author withdraws earlier ones of its own. docs/specs/ledger.md */
import type { CborMap } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { type LogId, parseLogId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Entry } from "./entry.ts";
import { SeqRanges } from "./seq-ranges.ts";

export const RETIRE_KIND = "retire";

export interface Retire {
  readonly logId: LogId;
  readonly ranges: SeqRanges;
}

export const retireData = ({ logId, ranges }: Retire): CborMap => ({
  log: Buffer.from(logId, "hex"),
  ranges: ranges.ranges,
});

/** What a retire withdraws; undefined for an entry that says nothing. */
export function readRetire({ kind, data, logId, seq }: Entry): Retire | undefined {
  if (kind !== RETIRE_KIND || Object.keys(data).toSorted().join() !== "log,ranges") return undefined;
  const { log, ranges } = data;
  if (!(log instanceof Uint8Array)) return undefined;
  try {
    const target = parseLogId(Buffer.from(log.buffer, log.byteOffset, log.length).toString("hex"));
    const parsed = SeqRanges.parse(ranges, limits.ledgerRangesCount);
    return { logId: target, ranges: target === logId ? parsed.upTo(seq - 1) : parsed };
  } catch (error) {
    if (isCostorError(error)) return undefined;
    throw error;
  }
}
