/** Whether files hold the same bytes, told from where their contents lie, and by reading only where that does not tell. */
import { hash } from "node:crypto";
import { limits } from "./limits.ts";
import type { ContentSlice, FileObject } from "./tree.ts";

export interface ContentIdentityComponents {
  /** The plaintext of a slice of content; asked only for small files. */
  readonly readContent: (slice: ContentSlice) => Promise<Uint8Array>;
}

const REMEMBERED_COUNT = 10_000;

export class ContentIdentity {
  private readonly components: ContentIdentityComponents;
  private readonly hashes = new Map<string, string>();

  constructor(components: ContentIdentityComponents) {
    this.components = components;
  }

  /**
   * Equal exactly for equal bytes. A large file is cut by its content, so equal bytes have equal slices; a small one may
   * have moved to another bundle, so its bytes decide, read once for each place where they lie.
   */
  async of(file: FileObject): Promise<string> {
    const place = placeOf(file);
    if (!("slices" in file.content) || file.sizeBytes > limits.smallFileBytes || file.content.slices.length === 0)
      return place;
    const known = this.hashes.get(place);
    if (known !== undefined) return known;
    const pieces: Uint8Array[] = [];
    for (const slice of file.content.slices) pieces.push(await this.components.readContent(slice));
    const holes = JSON.stringify(file.extents ?? []);
    const identity = `${file.sizeBytes} ${holes} ${hash("sha256", Buffer.concat(pieces), "hex")}`;
    if (this.hashes.size >= REMEMBERED_COUNT) this.hashes.clear();
    this.hashes.set(place, identity);
    return identity;
  }

  async areEqual(left: FileObject, right: FileObject): Promise<boolean> {
    if (left.sizeBytes !== right.sizeBytes) return false;
    return placeOf(left) === placeOf(right) || (await this.of(left)) === (await this.of(right));
  }
}

function placeOf(file: FileObject): string {
  const slices = "slices" in file.content ? file.content.slices : file.content.pages;
  const places = slices.map((slice) => `${slice.prime.id}:${slice.offsetBytes}:${slice.lengthBytes}`);
  const holes = file.extents ? JSON.stringify(file.extents) : "";
  return `${file.sizeBytes} ${holes} ${places.join(" ")}`;
}
