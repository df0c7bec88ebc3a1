/** What people tell a site about its scrub. */
import * as v from "valibot";
import type { Site } from "#node/site/site.ts";
import type { ScrubStatus } from "#node/site/scrubber.ts";
import { limits } from "#protocol/limits.ts";

const rate = v.pipe(v.number(), v.safeInteger(), v.minValue(limits.leastBytesPerSecond));

export const scrubSchemas = {
  scrub: v.strictObject({}),
  scrubChange: v.strictObject({
    rate: v.optional(v.nullable(rate)),
    pausedForMs: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  }),
  scrubNow: v.strictObject({}),
} as const;

export interface ScrubResults {
  scrub: ScrubStatus;
  scrubChange: ScrubStatus;
  scrubNow: ScrubStatus;
}

interface ScrubContext {
  readonly site: Pick<Site, "scrubber">;
  readonly signal: AbortSignal;
  onProgress(progress: unknown): void;
}

export const scrubHandlers = {
  scrub: (_: object, { site }: ScrubContext): Promise<ScrubStatus> => site.scrubber.status(),
  scrubChange: (
    { rate: asked, pausedForMs }: v.InferOutput<typeof scrubSchemas.scrubChange>,
    { site }: ScrubContext,
  ): Promise<ScrubStatus> =>
    site.scrubber.change({
      ...(asked === undefined ? {} : { rate: asked }),
      ...(pausedForMs === undefined ? {} : { pausedForMs }),
    }),
  scrubNow: (_: object, { site, signal, onProgress }: ScrubContext): Promise<ScrubStatus> =>
    site.scrubber.pass(signal, onProgress),
};
