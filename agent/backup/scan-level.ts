/** A directory on the way down: what is in it now, beside what the record of the last snapshot has, both in byte order. */
import type { ByteString } from "#protocol/byte-string.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import { type DirectoryFrame, RecordCursor } from "./directory-frame.ts";
import type { RecordEntry, RecordPage } from "./directory-record.ts";
import type { RootNode } from "./roots.ts";

/** An entry of a record: its place in a page, and in the whole directory. */
export interface RecordedEntry {
  readonly page: RecordPage;
  readonly place: number;
  readonly index: number;
}

export const objectOf = ({ page, place }: RecordedEntry): TreeObject => page.object(place);

export class ScanLevel {
  readonly frame: DirectoryFrame;
  readonly names: readonly ByteString[];
  /** Where roots lie below it, if any do. */
  readonly way: RootNode | undefined;
  /** Only {@link way} is followed: it lies above the roots, or is another file system that is not passed. */
  readonly isWayOnly: boolean;
  /** Of the root that it belongs to. */
  readonly device: number;
  /** The next of {@link names}. */
  next = 0;
  /** It cannot be reached any more. */
  isLost = false;
  private readonly cursor: RecordCursor | undefined;
  private recordIndex = 0;

  constructor(init: {
    readonly frame: DirectoryFrame;
    readonly names: readonly ByteString[];
    readonly way: RootNode | undefined;
    readonly isWayOnly: boolean;
    readonly device: number;
  }) {
    this.frame = init.frame;
    this.names = init.names;
    this.way = init.way;
    this.isWayOnly = init.isWayOnly;
    this.device = init.device;
    this.cursor = init.frame.record && new RecordCursor(init.frame.record);
  }

  /**
   * The record's entry of that name; undefined when it has none. To be asked in byte order: what comes before and was not
   * asked for is gone, and given to `onGone`. Without a name, all that is left is gone.
   */
  take(name: ByteString | undefined, onGone: (entry: RecordedEntry) => void): RecordedEntry | undefined {
    for (;;) {
      const found = this.cursor?.at(this.recordIndex);
      if (!found) return undefined;
      const recorded = found.page.names[found.place]!;
      if (name !== undefined && recorded > name) return undefined;
      const entry = { ...found, index: this.recordIndex++ };
      if (recorded === name) return entry;
      this.frame.markChanged();
      onGone(entry);
    }
  }
}

/**
 * Whether `node` is the one that the record's entry has for a directory. The directory's own record says nothing about it: it
 * may be of a run that went another way, through a mount point or not.
 */
export function hasNode({ page, place }: RecordedEntry, node: NodePointer): boolean {
  const object = page.object(place);
  if (object.type !== "directory") return false;
  const recorded = object.node;
  if ("inline" in recorded) return "inline" in node && Buffer.compare(recorded.inline, node.inline) === 0;
  if ("inline" in node) return false;
  const [one, other] = [recorded.slice, node.slice];
  return (
    one.prime.id === other.prime.id && one.offsetBytes === other.offsetBytes && one.lengthBytes === other.lengthBytes
  );
}

/** The record's entry for a directory whose attributes are as they were, with its new node. */
export function withNode({ page, place }: RecordedEntry, node: NodePointer): RecordEntry {
  return { object: { ...page.object(place), type: "directory", node }, signature: page.signature(place) };
}
