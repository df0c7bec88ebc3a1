/** Joins the many small pieces of an archive into chunks worth sending, and counts them. */
import type { ExportTotals } from "./export-source.ts";

const CHUNK_BYTES = 256 * 1024;

/** The same bytes in chunks of at least `CHUNK_BYTES`, but for the last. Holds at most one chunk and one piece. */
export async function* bounded(
  pieces: AsyncIterable<Buffer>,
  totals: ExportTotals,
): AsyncGenerator<Buffer, void, void> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  const take = (): Buffer => {
    const chunk = waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting, waitingBytes);
    totals.archiveBytes += waitingBytes;
    waiting = [];
    waitingBytes = 0;
    return chunk;
  };
  for await (const piece of pieces) {
    if (piece.length === 0) continue;
    waiting.push(piece);
    waitingBytes += piece.length;
    if (waitingBytes >= CHUNK_BYTES) yield take();
  }
  if (waitingBytes > 0) yield take();
}
