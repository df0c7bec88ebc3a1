/** `costor federation settings`: shows and changes what people decide about the site's part. */
import type { Command } from "commander";
import type { FederationSettings, SettingsChange } from "#node/federation/settings.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { formatBytes } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { callOn } from "./site-access.ts";
import { parseSize } from "./size-option.ts";

interface SettingsOptions extends DataOptions {
  readonly place?: string;
  readonly offer?: string;
  readonly quota?: string;
  readonly window?: string;
  readonly timeZone?: string;
  readonly rate?: string;
  readonly announce?: string[];
}

export function addFederationSettings(federation: Command): void {
  onData(federation, "settings", "show or change this site's part")
    .option("--place <text>", "where the site stands; copies go to different places")
    .option("--offer <size>", "most that is kept for other sites, such as 2TB; auto: half of what is free")
    .option("--quota <size>", "most that is kept for one other site; auto: a fair share")
    .option("--window <times>", "when copies are sent, such as 22:00-06:00; always: at any time")
    .option("--time-zone <name>", "whose hours the window means, such as Europe/Rome")
    .option("--rate <size>", "most bytes a second that are sent, such as 5MB; unlimited: no limit")
    .option(
      "--announce <multiaddr...>",
      "how to reach this site from outside, such as /dns4/NAME/tcp/8444; none: forget",
    )
    .action(async (options: SettingsOptions) => {
      const settings = await callOn(options.data, "federationSettings", { change: changeOf(options) });
      if (options.json) return printJson(settings);
      printSettings(settings);
    });
  for (const [name, isPaused, description] of [
    ["pause", true, "send no copies until it is resumed"],
    ["resume", false, "send copies again"],
  ] as const) {
    onData(federation, name, description).action(async ({ data, json }: DataOptions) => {
      const settings = await callOn(data, "federationSettings", { change: { isPaused } });
      if (json) return printJson(settings);
      printLine(isPaused ? "No copies are sent until: costor federation resume" : "Copies are sent again.");
    });
  }
}

function changeOf(options: SettingsOptions): SettingsChange {
  const { place, offer, quota, window, timeZone, rate, announce } = options;
  return {
    ...(place === undefined ? {} : { place }),
    ...(offer === undefined ? {} : { offeredBytes: offer === "auto" ? null : parseSize("--offer", offer) }),
    ...(quota === undefined ? {} : { quotaBytes: quota === "auto" ? null : parseSize("--quota", quota) }),
    ...(window === undefined ? {} : { window: window === "always" ? null : parseWindow(window) }),
    ...(timeZone === undefined ? {} : { timeZone }),
    ...(rate === undefined ? {} : { bytesPerSecond: rate === "unlimited" ? null : parseSize("--rate", rate) }),
    ...(announce === undefined ? {} : { announcedAddresses: announce[0] === "none" ? [] : announce }),
  };
}

function parseWindow(text: string): { begins: string; ends: string } {
  const parts = /^(\d\d:\d\d)-(\d\d:\d\d)$/.exec(text.trim());
  if (!parts) throw new CostorError("bad-usage", `--window ${text}: times such as 22:00-06:00 are expected`);
  return { begins: parts[1]!, ends: parts[2]! };
}

function printSettings(settings: FederationSettings): void {
  const bytesOr = (bytes: number | null, otherwise: string) => (bytes === null ? otherwise : formatBytes(bytes));
  const { window, timeZone } = settings;
  printLine(`Place: ${settings.place || "not told"}`);
  printLine(`Kept for other sites: at most ${bytesOr(settings.offeredBytes, "half of what is free")}`);
  printLine(`Kept for one of them: at most ${bytesOr(settings.quotaBytes, "a fair share")}`);
  printLine(
    `Copies are sent: ${window === null ? "at any time" : `${window.begins} to ${window.ends}, ${timeZone}`}${settings.isPaused ? "; paused now" : ""}`,
  );
  printLine(
    `Rate: ${settings.bytesPerSecond === null ? "not limited" : `at most ${formatBytes(settings.bytesPerSecond)} a second`}`,
  );
  printLine(`Reached from outside at: ${settings.announcedAddresses.join(", ") || "what other sites find out"}`);
}
