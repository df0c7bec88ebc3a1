/**
 * What people decide about this site's part in the federation. One fact; what it does not say is as at the beginning.
 * Fields and their meaning are declared here once, for commands, docs and API.
 */
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { readFactValue } from "#node/site/site-facts.ts";

const FACT = { kind: "federation", key: "settings" } as const;
const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const TIME = /^([01]\d|2[0-3]):[0-5]\d$/;
const time = v.pipe(v.string(), v.regex(TIME, "a time is HH:MM, such as 22:00"));

/** Asking for one takes a while. */
const timeZones = new Set<string>();

function isTimeZone(name: string): boolean {
  if (timeZones.has(name)) return true;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    timeZones.add(name);
    return true;
  } catch {
    return false;
  }
}

const announced = v.pipe(
  v.string(),
  v.maxLength(300),
  v.regex(
    /^\/(ip4|ip6|dns|dns4|dns6|dnsaddr)\/[^/\s]+\/tcp\/\d{1,5}(\/\S+)?$/,
    "no address by which other sites come; one such as /dns4/backup.school.example/tcp/8444 is expected",
  ),
);

const schema = v.strictObject({
  /** Where the site stands, in words that sites of one place share: copies go to different ones. Empty: unknown. */
  place: v.pipe(v.string(), v.trim(), v.maxLength(100), v.regex(/^[^\p{C}]*$/u, "a place holds no control characters")),
  /** Most bytes that are kept for other sites; null: half of what is free. */
  offeredBytes: v.nullable(bytes),
  /** Most bytes that are kept for one other site; null: a fair share of what is offered. */
  quotaBytes: v.nullable(bytes),
  /** When copies are sent, by the time zone; null: at any time. */
  window: v.nullable(v.strictObject({ begins: time, ends: time })),
  /** An IANA name, such as Europe/Rome. */
  timeZone: v.pipe(v.string(), v.check(isTimeZone, "no such time zone; an IANA name such as Europe/Rome is expected")),
  /** Most bytes a second that are sent to other sites; null: no limit. */
  bytesPerSecond: v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(limits.leastBytesPerSecond))),
  /** No copies are sent until it is resumed. */
  isPaused: v.boolean(),
  /** How to reach this site from outside, as multiaddr texts, such as /dns4/backup.school.example/tcp/8444. */
  announcedAddresses: v.pipe(v.array(announced), v.maxLength(limits.ledgerAddressesCount)),
});

export type FederationSettings = v.InferOutput<typeof schema>;

export const initialSettings: FederationSettings = {
  place: "",
  offeredBytes: null,
  quotaBytes: null,
  window: null,
  timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  bytesPerSecond: null,
  isPaused: false,
  announcedAddresses: [],
};

export const settingsChangeSchema = v.partial(schema);
export type SettingsChange = v.InferOutput<typeof settingsChangeSchema>;

/** Holds the settings and keeps each change durably before it counts. */
export class SettingsFact {
  readonly #store: Pick<PrimeStore, "appendFacts">;
  #current: FederationSettings;

  private constructor(store: Pick<PrimeStore, "appendFacts">, current: FederationSettings) {
    this.#store = store;
    this.#current = current;
  }

  static async open(store: Pick<PrimeStore, "appendFacts" | "fact">): Promise<SettingsFact> {
    const value = await store.fact(FACT.kind, FACT.key);
    const kept = value === undefined ? {} : readFactValue(value, settingsChangeSchema, "settings");
    return new SettingsFact(store, { ...initialSettings, ...kept });
  }

  get current(): FederationSettings {
    return this.#current;
  }

  /** Throws `bad-usage` for a window that is none. */
  async change(change: SettingsChange): Promise<FederationSettings> {
    const next = { ...this.#current, ...change };
    if (next.window && next.window.begins === next.window.ends)
      throw new CostorError("bad-usage", "a window begins and ends at different times");
    await this.#store.appendFacts([{ ...FACT, value: encodeCbor(next) }]);
    this.#current = next;
    return next;
  }
}
