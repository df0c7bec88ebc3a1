/** Retention of a site that does not run: people may look and decide, and nothing is taken. */
import { SettingsFact } from "#node/federation/settings.ts";
import { HeldClock } from "#node/replication/held-clock.ts";
import { Retention } from "#node/retention/retention.ts";
import type { Site } from "#node/site/site.ts";
import { systemClock } from "#node/site/system-clock.ts";
import { systemRng } from "#node/site/system-rng.ts";

export async function openIdleRetention(site: Site): Promise<Retention> {
  const { store } = site;
  const heldClock = await HeldClock.open({ clock: systemClock, store });
  const settings = await SettingsFact.open(store);
  return Retention.open({
    ...{ site, heldClock, rng: systemRng },
    timeZone: () => settings.current.timeZone,
    // There is no log: retention show tells it.
    warn: () => {},
    doubt: async () => "the site does not run; start it",
  });
}
