/** Cuts one file by content and seals its chunks; holds one window of it. Spec: docs/specs/chunking.md. */
import type { DataExtent } from "#protocol/tree.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import { findDataExtents } from "#agent/files/holes.ts";
import { statSizeBytes } from "#agent/files/stat.ts";
import {
  type CuttingComponents,
  ExtentReader,
  cutWindow,
  sealChunks,
  threadWindow,
  windowBytes,
} from "./cutting-window.ts";
import { restatIfChanged } from "./read-stability.ts";
import type { LargeDone, LargeJob } from "./worker-messages.ts";

const READ_TRIES_COUNT = 2;

export async function cutLargeFile(job: LargeJob, components: CuttingComponents): Promise<LargeDone> {
  try {
    let sizeBytes = job.sizeBytes;
    let restat: Buffer | undefined;
    for (let attempt = 1; ; attempt++) {
      const extents = job.sparse ? findDataExtents(job.descriptor, sizeBytes) : undefined;
      const ranges = extents ?? [{ offsetBytes: 0, lengthBytes: sizeBytes }];
      const heldBytes = await cutAttempt(job, attempt, ranges, components);
      const expectedBytes = ranges.reduce((sum, range) => sum + range.lengthBytes, 0);
      const now = restatIfChanged(job.descriptor, job.signature, restat);
      restat = now ?? restat;
      const stable = !now && heldBytes === expectedBytes;
      if (stable || attempt === READ_TRIES_COUNT) {
        const whole = heldBytes === expectedBytes;
        return {
          type: "large-done",
          job: job.job,
          attempt,
          sizeBytes: whole ? sizeBytes : heldBytes,
          extents: whole ? extents : undefined,
          restat,
          changed: !stable,
        };
      }
      sizeBytes = now ? statSizeBytes(now) : heldBytes;
    }
  } finally {
    closeDescriptor(job.descriptor);
  }
}

/** Cuts, asks and seals window by window; the bytes that were read. */
async function cutAttempt(
  job: LargeJob,
  attempt: number,
  ranges: readonly DataExtent[],
  components: CuttingComponents,
): Promise<number> {
  const window = threadWindow();
  const reader = new ExtentReader(job.descriptor, ranges);
  let held = 0;
  let total = 0;
  for (let isLast = false; !isLast;) {
    const filled = reader.fill(window, held, windowBytes);
    isLast = held + filled < windowBytes;
    held += filled;
    total += filled;
    const ends = cutWindow(window, held, isLast, components.scope);
    await sealChunks(
      job.job,
      attempt,
      ends.map((end, index) => window.subarray(ends[index - 1] ?? 0, end)),
      components,
    );
    const end = ends.at(-1) ?? 0;
    window.copyWithin(0, end, held);
    held -= end;
  }
  return total;
}
