/** Trees sealed into an uploader that keeps them, and read back from there. */
import { TreeSealer } from "#agent/backup/tree-sealer.ts";
import { Uploader } from "#agent/backup/uploader.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { testScope } from "./backup-fixture.ts";
import { KeptUploads } from "./reading-fixture.ts";

export class KeptTrees {
  readonly uploads = new KeptUploads();
  readonly uploader = new Uploader({ client: this.uploads }, { askFirst: false, signal: new AbortController().signal });
  readonly trees = new TreeSealer({ scope: testScope, uploader: this.uploader });

  /** Reads what was sealed so far. */
  async reader(): Promise<TreeReader> {
    await this.uploader.drain();
    return new TreeReader({ fetchPrime: async (id) => this.uploads.primes.get(id)! });
  }
}

/** A file without data; with a size it is all hole. */
export const emptyFile = (name: string, sizeBytes = 0): TreeObject => ({
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  mtimeNs: 1_700_000_000_000_000_000n,
  name: name as ByteString,
  type: "file",
  sizeBytes,
  content: { slices: [] },
  ...(sizeBytes > 0 ? { extents: [] } : {}),
});
