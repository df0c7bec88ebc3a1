/** Retention of a running site: once a day what is due. */
import type { Logger } from "pino";
import { RegularWork } from "#node/replication/regular-work.ts";
import { Retention, type RetentionComponents } from "#node/retention/retention.ts";
import { systemClock } from "#node/site/system-clock.ts";
import { systemRng } from "#node/site/system-rng.ts";

export interface RunningRetention extends AsyncDisposable {
  readonly retention: Retention;
}

const LOOK_EVERY_MS = 3_600_000;
/** A site that starts has more urgent things to do than to walk all trees. */
const FIRST_AFTER_MS = 10 * 60_000;

export async function startRetention(
  components: Omit<RetentionComponents, "rng" | "warn"> & { readonly log: Logger },
): Promise<RunningRetention> {
  const { log } = components;
  const retention = await Retention.open({ ...components, rng: systemRng, warn: (sentence) => log.warn(sentence) });
  let isFirst = true;
  const work = new RegularWork(
    { clock: systemClock },
    {
      everyMs: LOOK_EVERY_MS,
      work: async (signal) => {
        if (isFirst) await systemClock.sleep(FIRST_AFTER_MS, signal);
        isFirst = false;
        await retention.turn(signal);
      },
      onFailure: (error) => log.error({ err: error }, "nothing was taken of what no snapshot reaches any more"),
    },
  );
  work.start(new AbortController().signal);
  return { retention, [Symbol.asyncDispose]: () => work[Symbol.asyncDispose]() };
}
