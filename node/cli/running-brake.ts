/** The ransomware brake of a running site: looks at what nobody has looked at yet, and then at each new snapshot. */
import type { Logger } from "pino";
import { ChangeWatch } from "#node/brake/change-watch.ts";
import type { BrakeAlarm } from "#node/site/brake-alarms.ts";
import type { Site } from "#node/site/site.ts";
import type { Retention } from "#node/retention/retention.ts";
import { systemRng } from "#node/site/system-rng.ts";
import { type AgentId, parseAgentId } from "#protocol/ids.ts";

export interface BrakeComponents {
  readonly site: Pick<Site, "store" | "snapshots" | "regainedSnapshots" | "brakeAlarms" | "agents" | "changes">;
  readonly log: Logger;
  readonly retention: Pick<Retention, "mark">;
}

export function startBrake({ site, log, retention }: BrakeComponents): AsyncDisposable {
  const stopping = new AbortController();
  // It outlasts the alarm: what was good stays until a person has looked.
  const pin = ({ before }: BrakeAlarm): void =>
    void retention
      .mark([before], { isPinned: true })
      .catch((error: unknown) => log.error({ err: error }, "the last good snapshot could not be pinned"));
  const watch = new ChangeWatch({
    ...{ store: site.store, snapshots: site.snapshots, alarms: site.brakeAlarms, rng: systemRng },
    isRegaining: () => site.regainedSnapshots.isAny,
    onAlarm: (alarm) => {
      log.error(
        { event: "ransomware-alarm", ...alarm },
        "a backup may be the work of ransomware: costor site alarms list",
      );
      pin(alarm);
    },
  });
  // A pin waits for the daily work to end, and a site that is ended before has the alarm alone.
  for (const alarm of site.brakeAlarms.standing()) pin(alarm);
  let looked: Promise<unknown> = Promise.resolve();
  const look = (agent: AgentId): void => {
    looked = Promise.all([
      looked,
      watch.look(agent, stopping.signal).catch((error: unknown) => {
        if (!stopping.signal.aborted) log.error({ err: error, agent }, "new snapshots could not be looked at");
      }),
    ]);
  };
  site.changes.onChange((change) => {
    if (change.kind === "snapshot" && !stopping.signal.aborted) look(parseAgentId(change.key.split("/")[0]));
  });
  const lookAtAll = (): void => {
    if (!stopping.signal.aborted) for (const { id } of site.agents.list()) look(id);
  };
  site.regainedSnapshots.onCleared(lookAtAll);
  lookAtAll();
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort(new Error("the site stops"));
      await looked;
    },
  };
}
