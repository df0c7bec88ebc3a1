/** When copies may be sent, and how fast, as people have set it: asked each time, since they change it while the site runs. */
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import type { Clock } from "#ledger/clock.ts";
import { MaintenanceWindows } from "#ledger/maintenance-window.ts";
import type { FederationSettings, SettingsFact } from "./settings.ts";

export interface SendingRuleComponents {
  readonly clock: Clock;
  readonly settings: Pick<SettingsFact, "current">;
}

export class SendingRules {
  readonly #components: SendingRuleComponents;
  #limit: { readonly bytesPerSecond: number | null; readonly limit: BandwidthLimit } | undefined;
  #windows: { readonly settings: FederationSettings; readonly windows: MaintenanceWindows } | undefined;

  constructor(components: SendingRuleComponents) {
    this.#components = components;
  }

  mayMove(): boolean {
    return this.waiting() === undefined;
  }

  /** Why nothing is sent now; undefined while it may be. */
  waiting(): string | undefined {
    const { clock, settings } = this.#components;
    const { isPaused, window, timeZone } = settings.current;
    if (isPaused) return "people have paused it";
    if (window === null || this.#windowsOf(settings.current).isOpenAt(clock.now())) return undefined;
    return `it waits for the window, ${window.begins} to ${window.ends}, ${timeZone}`;
  }

  /** As {@link BandwidthLimit.take}. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const { clock, settings } = this.#components;
    const { bytesPerSecond } = settings.current;
    if (this.#limit?.bytesPerSecond !== bytesPerSecond)
      this.#limit = {
        bytesPerSecond,
        limit: new BandwidthLimit({ clock }, { bytesPerSecond: bytesPerSecond ?? undefined }),
      };
    await this.#limit!.limit.take(bytes, signal);
  }

  #windowsOf(settings: FederationSettings): MaintenanceWindows {
    if (this.#windows?.settings !== settings) {
      const { window, timeZone } = settings;
      const windows =
        window === null
          ? []
          : [{ fromMinutes: minutesOf(window.begins), toMinutes: minutesOf(window.ends) || DAY_MINUTES }];
      this.#windows = { settings, windows: new MaintenanceWindows(windows, timeZone) };
    }
    return this.#windows.windows;
  }
}

const DAY_MINUTES = 1440;

function minutesOf(time: string): number {
  const [hours, minutes] = time.split(":").map(Number) as [number, number];
  return hours * 60 + minutes;
}
