/** Sizes as people write them: 500GB, 2 TiB, 1.5mb. */
import { CostorError } from "#protocol/errors.ts";

const UNITS: Record<string, number> = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** Throws `bad-usage`, which names the option. */
export function parseSize(option: string, text: string): number {
  const parts = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = UNITS[parts?.[2]?.toUpperCase() ?? ""];
  if (!parts || unit === undefined)
    throw new CostorError("bad-usage", `${option} ${text}: a size such as 500GB or 2TB is expected`);
  return Math.round(Number(parts[1]) * unit);
}
