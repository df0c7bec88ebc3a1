/**
 * How much of each bundle the last snapshot still holds. A bundle of which less than half is held is *worn*; once worn
 * bundles waste enough together, the files that are left in them are read once more and laid into new ones, so that the
 * old bundles can go with the snapshots that they were made for.
 *
 * What is kept changes with the directories' records, in the same writes. A run that is cut off may leave it a little
 * wrong; that moves only when a bundle is repacked.
 */
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import type { PrimeId } from "#protocol/ids.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { AgentDatabase, type DatabaseWrite } from "./agent-database.ts";
import type { BundleHolding } from "./bundle-holding.ts";

/** By bundle, what came into the snapshot (or went out of it, below zero). */
export type BundleChanges = Map<PrimeId, BundleHolding>;

/** Worn bundles are repacked once they waste so much … */
const WASTE_MIN_BYTES = 1024 * 1024;
/** … and one byte in so many of the last snapshot. */
const WASTE_ONE_IN = 50;
const REMEMBERED_COUNT = 4096;
/** Kept under this name: what is wasted, and what of it the last repacking left. */
const WASTE_NAME = "waste";

/** The one slice of a file that shares its prime with others. */
function bundledSlice(object: TreeObject): { id: PrimeId; heldBytes: number; lengthBytes: number } | undefined {
  if (object.type !== "file" || !("slices" in object.content) || object.content.slices.length !== 1) return undefined;
  const { prime, lengthBytes } = object.content.slices[0]!;
  if (lengthBytes === prime.lengthBytes) return undefined;
  return { id: prime.id, heldBytes: lengthBytes, lengthBytes: prime.lengthBytes };
}

/** Notes that an object came into the snapshot (1) or went out of it (-1). */
export function noteBundle(changes: BundleChanges, object: TreeObject, sign: 1 | -1): void {
  const slice = bundledSlice(object);
  if (!slice) return;
  const heldBytes = (changes.get(slice.id)?.heldBytes ?? 0) + sign * slice.heldBytes;
  changes.set(slice.id, { heldBytes, lengthBytes: slice.lengthBytes });
}

/** Whether an object is in one of these bundles. */
export function isInBundle(object: TreeObject, bundles: ReadonlySet<PrimeId>): boolean {
  const slice = bundledSlice(object);
  return slice !== undefined && bundles.has(slice.id);
}

const wastedBytes = ({ heldBytes, lengthBytes }: BundleHolding): number =>
  heldBytes * 2 < lengthBytes ? lengthBytes - heldBytes : 0;

export class BundleUse {
  private readonly database: AgentDatabase;
  /** What is on its way into the database; the oldest are there by the time that they fall out. */
  private readonly changed = new Map<PrimeId, BundleHolding>();

  constructor(components: { database: AgentDatabase }) {
    this.database = components.database;
  }

  /** The writes that belong to those of the directory which changed. */
  writes(changes: BundleChanges): DatabaseWrite[] {
    const writes: DatabaseWrite[] = [];
    for (const [id, change] of changes) {
      const former = this.changed.get(id) ?? this.database.bundle(id);
      const heldBytes = Math.max(0, (former?.heldBytes ?? 0) + change.heldBytes);
      const holding = { heldBytes, lengthBytes: change.lengthBytes };
      this.changed.delete(id);
      if (this.changed.size >= REMEMBERED_COUNT) this.changed.delete(this.changed.keys().next().value!);
      this.changed.set(id, holding);
      writes.push(AgentDatabase.bundleWrite(id, heldBytes === 0 ? undefined : holding));
    }
    return writes;
  }

  /** The bundles to be repacked in this run, whose last snapshot held so many bytes: mostly none. */
  async worn(snapshotBytes: number): Promise<ReadonlySet<PrimeId>> {
    const worn = new Set<PrimeId>();
    const { wasted, left } = this.readWaste();
    if (wasted - left < Math.max(WASTE_MIN_BYTES, snapshotBytes / WASTE_ONE_IN)) return worn;
    for await (const [id, holding] of this.database.allBundles()) if (wastedBytes(holding) > 0) worn.add(id);
    return worn;
  }

  /** Sums up what is wasted now, once the run's writes are done; what a repacking run leaves, no run gets at soon. */
  async sumUp(isRepacked: boolean): Promise<void> {
    if (this.changed.size === 0) return;
    let wasted = 0;
    for await (const [, holding] of this.database.allBundles()) wasted += wastedBytes(holding);
    const left = isRepacked ? wasted : Math.min(wasted, this.readWaste().left);
    await this.database.write([AgentDatabase.metaWrite(WASTE_NAME, encodeCbor([wasted, left]))]);
  }

  private readWaste(): { wasted: number; left: number } {
    const bytes = this.database.meta(WASTE_NAME);
    const [wasted, left] = bytes ? (decodeCbor(bytes) as [number, number]) : [0, 0];
    return { wasted, left };
  }
}
