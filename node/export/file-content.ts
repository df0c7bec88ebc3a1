/** Reads a file's bytes from its slices: any range of it, holes as zeros, with a few primes opened ahead. */
import type { ContentSlice, FileObject } from "#protocol/tree.ts";
import { failTree } from "#protocol/tree.ts";
import type { ExportSource } from "./export-source.ts";

/** Slices opened before the consumer asks: hides the store's latency; at most 8 MiB of plaintext. */
const OPENED_AHEAD_COUNT = 2;
const ZEROS = Buffer.alloc(256 * 1024);

/** Bytes of a file that are stored: its size without its holes. */
export function storedBytesOf(file: FileObject): number {
  if (!file.extents) return file.sizeBytes;
  return file.extents.reduce((sum, extent) => sum + extent.lengthBytes, 0);
}

/**
 * The stored bytes [startBytes, endBytes) of a file, without its holes. Primes before and behind the range are not opened.
 * Throws `tree-invalid` when the slices hold fewer.
 */
export async function* readStoredBytes(
  source: ExportSource,
  file: FileObject,
  startBytes: number,
  endBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const slices = slicesOfRange(source, file, startBytes, endBytes);
  const opening: Promise<Buffer>[] = [];
  let isExhausted = false;
  for (;;) {
    while (!isExhausted && opening.length < OPENED_AHEAD_COUNT) {
      const next = await slices.next();
      if (next.done) {
        isExhausted = true;
        break;
      }
      const opened = source.openSlice(next.value);
      // A consumer that leaves early never awaits it; one that goes on gets the error below.
      opened.catch(() => undefined);
      opening.push(opened);
    }
    const first = opening.shift();
    if (!first) return;
    signal?.throwIfAborted();
    yield await first;
  }
}

async function* slicesOfRange(
  source: ExportSource,
  file: FileObject,
  startBytes: number,
  endBytes: number,
): AsyncGenerator<ContentSlice, void, void> {
  let at = 0;
  if (startBytes >= endBytes) return;
  for await (const slice of source.tree.content(file.content)) {
    const end = at + slice.lengthBytes;
    const from = Math.max(startBytes, at);
    const to = Math.min(endBytes, end);
    if (from < to) yield { prime: slice.prime, offsetBytes: slice.offsetBytes + from - at, lengthBytes: to - from };
    at = end;
    if (at >= endBytes) return;
  }
  failTree(`a file's slices end at ${at} of ${endBytes} bytes`);
}

/** The bytes [startBytes, endBytes) of a file as a reader of the file sees them. */
export async function* readFileBytes(
  source: ExportSource,
  file: FileObject,
  startBytes: number,
  endBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  if (!file.extents) {
    yield* readStoredBytes(source, file, startBytes, endBytes, signal);
    return;
  }
  const range = planRange(file, startBytes, endBytes);
  const stored = readStoredBytes(source, file, range.storedStartBytes, range.storedEndBytes, signal);
  let chunk: Buffer = Buffer.alloc(0);
  for (const piece of range.pieces) {
    for (let left = piece.lengthBytes; left > 0;) {
      if (piece.isHole) {
        signal?.throwIfAborted();
        const zeros = ZEROS.subarray(0, Math.min(left, ZEROS.length));
        left -= zeros.length;
        yield zeros;
        continue;
      }
      if (chunk.length === 0) {
        const next = await stored.next();
        if (next.done) failTree("a sparse file's slices end before its extents");
        chunk = next.value;
      }
      const taken = chunk.subarray(0, left);
      chunk = chunk.subarray(taken.length);
      left -= taken.length;
      yield taken;
    }
  }
}

interface RangePlan {
  readonly storedStartBytes: number;
  readonly storedEndBytes: number;
  readonly pieces: readonly { readonly isHole: boolean; readonly lengthBytes: number }[];
}

/** Which holes and which stored bytes make the range [startBytes, endBytes) of a sparse file. */
function planRange(file: FileObject, startBytes: number, endBytes: number): RangePlan {
  const pieces: { isHole: boolean; lengthBytes: number }[] = [];
  let storedAt = 0;
  let storedStartBytes: number | undefined;
  let storedEndBytes = 0;
  let at = startBytes;
  for (const { offsetBytes, lengthBytes } of file.extents ?? []) {
    const from = Math.max(offsetBytes, startBytes);
    const to = Math.min(offsetBytes + lengthBytes, endBytes);
    if (from < to) {
      if (from > at) pieces.push({ isHole: true, lengthBytes: from - at });
      pieces.push({ isHole: false, lengthBytes: to - from });
      storedStartBytes ??= storedAt + from - offsetBytes;
      storedEndBytes = storedAt + to - offsetBytes;
      at = to;
    }
    storedAt += lengthBytes;
  }
  if (at < endBytes) pieces.push({ isHole: true, lengthBytes: endBytes - at });
  return { storedStartBytes: storedStartBytes ?? 0, storedEndBytes, pieces };
}
