/**
 * Cuts a stretch of a very large file, so that several workers can share the file. Whether a chunk ends at a place does not
 * depend on what lies far before it (docs/specs/chunking.md): a worker that begins some way ahead of its stretch is on the
 * file's own cuts when it gets there, and who puts the stretches together checks that it was.
 */
import {
  type CuttingComponents,
  ExtentReader,
  cutWindow,
  sealChunks,
  threadWindow,
  windowBytes,
} from "./cutting-window.ts";
import { restatIfChanged } from "./read-stability.ts";
import type { StretchDone, StretchJob } from "./worker-messages.ts";

/** Seals the chunks from the first cut at or behind `startBytes` to the first one at or behind `endBytes`. */
export async function cutStretch(job: StretchJob, components: CuttingComponents): Promise<StretchDone> {
  const window = threadWindow();
  let position = job.startBytes - job.leadInBytes;
  const reader = new ExtentReader(job.descriptor, [
    { offsetBytes: position, lengthBytes: Number.MAX_SAFE_INTEGER - position },
  ]);
  let firstCutBytes = job.leadInBytes === 0 ? job.startBytes : undefined;
  let held = 0;
  for (let isDone = false; !isDone;) {
    const filled = reader.fill(window, held, windowBytes);
    const isLast = held + filled < windowBytes;
    held += filled;
    const chunks: Buffer[] = [];
    let start = 0;
    for (const end of cutWindow(window, held, isLast, components.scope)) {
      if (firstCutBytes !== undefined) chunks.push(window.subarray(start, end));
      start = end;
      if (firstCutBytes === undefined && position + end >= job.startBytes) firstCutBytes = position + end;
      isDone = position + end >= job.endBytes;
      if (isDone) break;
    }
    await sealChunks(job.job, 1, chunks, components);
    position += start;
    window.copyWithin(0, start, held);
    held -= start;
    isDone ||= isLast;
  }
  const restat = restatIfChanged(job.descriptor, job.signature, undefined);
  return {
    type: "stretch-done",
    job: job.job,
    firstCutBytes: firstCutBytes ?? position,
    lastCutBytes: position,
    isChanged: restat !== undefined,
  };
}
