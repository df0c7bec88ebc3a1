/** Data rates and lengths of time as people write them. */
const RATE = /^\s*(\d+(?:\.\d+)?)\s*(B|kB|KB|KiB|MB|MiB|GB|GiB|kbit|Mbit|Gbit)\s*(?:\/\s*s|ps)\s*$/;

const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  KiB: 1024,
  MB: 1e6,
  MiB: 1024 ** 2,
  GB: 1e9,
  GiB: 1024 ** 3,
  kbit: 1e3 / 8,
  Mbit: 1e6 / 8,
  Gbit: 1e9 / 8,
};

/** Bytes per second of a text such as `5 MiB/s` or `20 Mbit/s`; undefined when it is none. */
export function parseRate(text: string): number | undefined {
  const match = RATE.exec(text);
  return match ? Math.round(Number(match[1]) * UNIT_BYTES[match[2]!]!) : undefined;
}

const DURATION = /^\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*$/;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a text such as `10 min`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  return match ? Math.round(Number(match[1]) * UNIT_MS[match[2]!]!) : undefined;
}
