/** Says what was in stretches of a segment in which no record can be recognised any more, as far as the index knows. */
import { primeIdFromBytes } from "#protocol/ids.ts";
import type { DamagedStretch } from "./record-body.ts";
import { recordBytes } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

/**
 * The same damage, with a stretch for each prime that the index has in it. A stretch that is nothing but such primes is named by them
 * alone: then the index lacks nothing but them, and need not be made anew.
 */
export async function nameDamage(index: StoreIndex, damage: readonly DamagedStretch[]): Promise<DamagedStretch[]> {
  const unknown = damage.filter(({ id }) => id === undefined);
  if (unknown.length === 0) return [...damage];
  const bySegment = Map.groupBy(unknown, ({ segment }) => segment);
  const primes = new Map<DamagedStretch, DamagedStretch[]>();
  for await (const { id, location } of index.primes()) {
    const { segment, offset, bodyBytes } = location;
    const stretch = bySegment.get(segment)?.find((one) => covers(one, offset));
    if (stretch === undefined) continue;
    const named = { segment, offset, lengthBytes: recordBytes(bodyBytes), id: primeIdFromBytes(id) };
    const others = primes.get(stretch);
    if (others === undefined) primes.set(stretch, [named]);
    else others.push(named);
  }
  return damage.flatMap((stretch) => {
    const named = (primes.get(stretch) ?? []).toSorted((a, b) => a.offset - b.offset);
    return isFilledBy(stretch, named) ? named : [stretch, ...named];
  });
}

const covers = ({ offset, lengthBytes }: DamagedStretch, at: number): boolean =>
  offset <= at && at < offset + lengthBytes;

function isFilledBy({ offset, lengthBytes }: DamagedStretch, named: readonly DamagedStretch[]): boolean {
  let at = offset;
  for (const one of named) {
    if (one.offset !== at) return false;
    at += one.lengthBytes;
  }
  return at === offset + lengthBytes;
}
