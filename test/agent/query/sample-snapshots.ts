/** Snapshots made of nested names, and a reader that counts what it has to fetch. */
import { byteStringFromText, type ByteString } from "#protocol/byte-string.ts";
import { ContentIdentity } from "#protocol/content-identity.ts";
import type { SnapshotTree } from "#agent/query/snapshot-tree.ts";
import { CostorError } from "#protocol/errors.ts";
import { makeUuidV7, parseSnapshotId, type PrimeId } from "#protocol/ids.ts";
import { openPrime } from "#protocol/sealing.ts";
import type { NodePointer, TreeObject } from "#protocol/tree.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import { TreeMaker } from "#test/support/trees.ts";

/** Text is a file, a map a directory, an object of the tree itself. */
export type Sample = { readonly [name: string]: string | Sample | TreeObject };

export class SampleSnapshots {
  readonly maker = new TreeMaker();
  readonly fetchedIds: PrimeId[] = [];
  private count = 0;

  /** Equal samples become equal nodes, each in a prime of its own. */
  node(sample: Sample): NodePointer {
    return this.maker.node(Object.entries(sample).map(([name, value]) => this.object(name, value)));
  }

  private object(name: string, value: Sample[string]): TreeObject {
    if (typeof value === "string") return this.maker.file(name, Buffer.from(value));
    if ("type" in value && "mtimeNs" in value) return { ...(value as TreeObject), name: byteStringFromText(name) };
    return this.maker.directory(name, this.node(value as Sample));
  }

  snapshot(sample: Sample): SnapshotTree {
    const timeMs = 1_700_000_000_000 + this.count++ * 86_400_000;
    return { id: parseSnapshotId(makeUuidV7(timeMs)), startedMs: timeMs, root: this.node(sample) };
  }

  private fetch(id: PrimeId): Uint8Array {
    this.fetchedIds.push(id);
    const prime = this.maker.primes.find((candidate) => candidate.id === id);
    if (!prime) throw new CostorError("prime-missing", id);
    return prime.stored;
  }

  /** Without the cache of another reader. */
  get reader(): TreeReader {
    return new TreeReader({ fetchPrime: async (id) => this.fetch(id) });
  }

  get contents(): ContentIdentity {
    return new ContentIdentity({
      readContent: async ({ prime, offsetBytes, lengthBytes }) =>
        openPrime(this.fetch(prime.id), prime, "content").subarray(offsetBytes, offsetBytes + lengthBytes),
    });
  }
}

export const path = (text: string): ByteString => byteStringFromText(text);
