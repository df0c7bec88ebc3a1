/** Runs the scrub of a running site, and what it looks after besides: what the snapshots reach stays kept. Tells the log. */
import type { Logger } from "pino";
import type { Site } from "#node/site/site.ts";
import type { ScrubEvent } from "#node/site/scrubber.ts";

export interface RunningScrub extends AsyncDisposable {
  /** Keeps again what the snapshots reach, unless that was done since the store was last damaged. */
  keepSnapshots(): void;
}

export function startScrub({ site, log }: { readonly site: Site; readonly log: Logger }): RunningScrub {
  const end = new AbortController();
  const running = site.scrubber.run(end.signal, (event) => tell(log, event));
  /** Snapshots that were told of: a part that cannot be read is met again and again. */
  const told = new Set<string>();
  const keep = async (): Promise<void> => {
    try {
      await site.snapshotKeeps.run(({ key, error }) => {
        const level = told.has(key) ? "debug" : "warn";
        told.add(key);
        log[level]({ err: error, snapshot: key }, "a part of a snapshot cannot be read");
      }, end.signal);
    } catch (error) {
      if (!end.signal.aborted) log.error({ err: error }, "what the snapshots reach could not be kept");
    }
  };
  let kept = keep();
  return {
    keepSnapshots: () => void (kept = kept.then(keep)),
    [Symbol.asyncDispose]: async () => {
      end.abort(new Error("the site stops"));
      await Promise.all([running, kept]);
    },
  };
}

function tell(log: Logger, event: ScrubEvent): void {
  switch (event.event) {
    case "findings":
      return log.warn(
        { findings: event.findings.slice(0, 20), count: event.findings.length },
        "the scrub found damage",
      );
    case "pass-ended":
      return log.info(event.pass, "the scrub has read everything");
    case "snapshots-broken":
      if (event.broken.length === 0) return log.warn("all snapshots are whole again");
      return log.error(
        { count: event.broken.length, snapshots: event.broken.slice(0, 20) },
        "snapshots cannot be restored in full from here: see `costor site scrub --status`",
      );
    case "failed":
      return log.error({ err: event.error }, "the scrub could not go on; it is tried again");
  }
}
