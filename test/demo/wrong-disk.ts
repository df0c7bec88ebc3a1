/** Damage behind a store's back: primes that are kept for others are not what they were, and nothing on the disk says so. */
import { open, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { SiteId } from "#protocol/ids.ts";
import { readableOf } from "./demo-federation.ts";
import type { DemoSite } from "./demo-site.ts";

/** Of a stopped site: every third prime of each owner. Gives how many were damaged. */
export async function damageKept(site: DemoSite, owners: readonly SiteId[]): Promise<number> {
  const damaged: Buffer[] = [];
  for (const owner of owners) {
    const kept = await readableOf(site, owner);
    damaged.push(...[...kept.values()].filter((_, index) => index % 3 === 0));
  }
  const directory = join(site.data, "store", "segments");
  let damagedCount = 0;
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const bytes = await readFile(path);
    const file = await open(path, "r+");
    try {
      for (const stored of damaged) {
        const at = bytes.indexOf(stored);
        if (at < 0) continue;
        const middle = at + Math.floor(stored.length / 2);
        await file.write(Buffer.of(bytes[middle]! ^ 0xff), 0, 1, middle);
        damagedCount++;
      }
    } finally {
      await file.close();
    }
  }
  return damagedCount;
}
