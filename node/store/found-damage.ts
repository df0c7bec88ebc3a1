/** Puts damage that a check or the scrub has found on record, and says in words what it is. */
import { passFailpoint } from "#protocol/failpoint.ts";
import type { LiveIndex } from "./live-index.ts";
import { nameDamage } from "./damage-naming.ts";
import type { CheckFinding } from "./prime-store.ts";
import type { DamagedStretch } from "./record-body.ts";
import { segmentPath } from "./segment-writer.ts";
import { unrecorded } from "./store-opening.ts";

export interface FoundDamageComponents {
  readonly live: LiveIndex;
  readonly runAlone: <T>(action: () => Promise<T>) => Promise<T>;
}

export interface FoundDamageInit {
  /** Records damage; called in the writer's turn. */
  readonly quarantine: (damage: readonly DamagedStretch[]) => Promise<void>;
}

/** What of `damage` was not on record before, with the primes that the index has there. */
export async function recordFound(
  { live, runAlone }: FoundDamageComponents,
  { quarantine }: FoundDamageInit,
  damage: readonly DamagedStretch[],
): Promise<DamagedStretch[]> {
  const fresh = await live.read((index) => unrecorded(index, damage));
  if (fresh.length === 0) return [];
  const named = await live.read((index) => nameDamage(index, fresh));
  return runAlone(async () => {
    const found = await live.readInTurn(async (index) => {
      const ends = await index.segments();
      // What of a segment that was emptied meanwhile counts was verified and lies elsewhere now.
      const present = named.filter(({ segment }) => !ends.has(segment) || ends.get(segment) !== undefined);
      return unrecorded(index, present);
    });
    if (found.length > 0) {
      await quarantine(found);
      passFailpoint("scrub.recorded");
    }
    return found;
  });
}

export function findingOf({ segment, offset, lengthBytes, id }: DamagedStretch): CheckFinding {
  const what = id === undefined ? "records" : `prime ${id}`;
  const message = `${what} in segment ${segment} at ${offset} damaged, ${lengthBytes} bytes`;
  return {
    what: "record",
    file: segmentPath(segment),
    offset,
    lengthBytes,
    ...(id === undefined ? {} : { id }),
    message,
  };
}
