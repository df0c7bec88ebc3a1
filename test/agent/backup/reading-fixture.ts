/** What the readers of files are given, made by hand: an open file with what a scan saw of it, and a place for primes. */
import { readdirSync } from "node:fs";
import { dirname, basename } from "node:path";
import type { FileToRead } from "#agent/backup/content-jobs.ts";
import type { UploadClient } from "#agent/backup/uploader.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { CHANGE_SIGNATURE_BYTES, STAT_BYTES, statSizeBytes, writeChangeSignature } from "#agent/files/stat.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { openPrime } from "#protocol/sealing.ts";
import type { ContentSlice } from "#protocol/tree.ts";

/** The file as a scan would hand it over now. */
export function openToRead(path: string, sparse = false): FileToRead {
  using directory = openRoot(byteStringFromText(dirname(path)));
  const name = byteStringFromText(basename(path));
  const stat = Buffer.alloc(STAT_BYTES);
  directory.statInto(name, stat);
  const descriptor = directory.openSameFile(name, stat);
  const signature = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
  writeChangeSignature(stat, 0, signature, 0);
  return { name, descriptor, sizeBytes: statSizeBytes(stat), signature, sparse };
}

/** Keeps what is sent, in order of arrival. */
export class KeptUploads implements UploadClient {
  readonly primes = new Map<PrimeId, Uint8Array>();
  /** Waited for before each batch is acknowledged. */
  gate: () => Promise<void> = async () => undefined;

  async missing(ids: readonly PrimeId[]): Promise<boolean[]> {
    return ids.map((id) => !this.primes.has(id));
  }

  async sendPrimes(primes: readonly StoredPrime[]): Promise<void> {
    const batch = primes.map(({ id, stored }) => ({ id, stored: Buffer.from(stored) }));
    await this.gate();
    for (const { id, stored } of batch) this.primes.set(id, stored);
  }

  /** The bytes that these slices stand for. */
  read(slices: readonly ContentSlice[]): Buffer {
    return Buffer.concat(
      slices.map(({ prime, offsetBytes, lengthBytes }) =>
        openPrime(this.primes.get(prime.id)!, prime, "content").subarray(offsetBytes, offsetBytes + lengthBytes),
      ),
    );
  }
}

/** How many descriptors this process has open; for tests of leaks. */
export const descriptorsCount = (): number => readdirSync("/proc/self/fd").length;
