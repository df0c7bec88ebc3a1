/** Drills of a running site: once a day it looks whether one is due. */
import { rmSync } from "node:fs";
import type { Logger } from "pino";
import { type AgentDoorInit, openAgentDoor } from "#node/drills/agent-door.ts";
import type { DrillRecord } from "#node/drills/drill-record.ts";
import { Drills } from "#node/drills/drills.ts";
import { RegularWork } from "#node/replication/regular-work.ts";
import type { Site } from "#node/site/site.ts";
import { systemClock } from "#node/site/system-clock.ts";
import { systemRng } from "#node/site/system-rng.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { RunningFederation } from "./running-federation.ts";

const LOOK_EVERY_MS = 6 * 3_600_000;

export interface RunningDrills extends AsyncDisposable {
  readonly drills: Drills;
}

export async function startDrills(
  {
    site,
    log,
    federation,
    record,
  }: {
    readonly site: Site;
    readonly log: Logger;
    readonly federation: RunningFederation;
    readonly record: DrillRecord;
  },
  init: { readonly dataDirectory: string; readonly listening: AgentDoorInit },
): Promise<RunningDrills> {
  const clock = systemClock;
  const drills = new Drills(
    {
      ...{ site, clock, rng: systemRng, record },
      offsite: () => federation.offsite(),
      across: () => federation.across(),
      openKit: () => federation.openKit(),
      door: openAgentDoor(site.identity, init.listening),
      holderTampering: () => federation.holderTampering(),
      onResult: (result) => {
        const isTamper = result.kind === "tamper";
        if (result.failedCount > 0)
          log.error(
            { event: "drill-failed", ...result },
            `${isTamper ? "something that is forbidden was not refused" : "not everything could be restored"}: costor site drills list`,
          );
        else
          log.info(
            { event: "drill-passed", ...result },
            isTamper
              ? "what a tamper drill tried was refused, and nothing is changed"
              : "what a restore drill tried could be restored",
          );
        federation
          .tellDrill(result)
          .catch((error: unknown) => log.warn({ err: error }, "a drill was not told to others"));
      },
    },
    init,
  );
  rmSync(drills.scratchFile, { force: true });
  const work = new RegularWork(
    { clock },
    {
      everyMs: LOOK_EVERY_MS,
      work: async (signal) => {
        // Not while it starts: others have to be found first.
        await clock.sleep(LOOK_EVERY_MS * systemRng.fraction(), signal);
        await drills.runDue({ signal });
      },
      onFailure: (error) =>
        log[isCostorError(error, "store-full") ? "warn" : "error"]({ err: error }, "a drill could not be done"),
    },
  );
  work.start(new AbortController().signal);
  return { drills, [Symbol.asyncDispose]: () => work[Symbol.asyncDispose]() };
}
