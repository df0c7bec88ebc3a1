/** Damage of a disk: sectors of segments hold something else than was written. */
import { randomBytes } from "node:crypto";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { DemoSite } from "#test/demo/demo-site.ts";

const SECTOR_BYTES = 512;

/** Of a stopped site; anywhere in its store. */
export async function overwriteSectors(
  site: DemoSite,
  { sectorsCount, random }: { readonly sectorsCount: number; readonly random: () => number },
): Promise<void> {
  const directory = join(site.data, "store", "segments");
  const names = (await readdir(directory)).toSorted();
  for (let count = 0; count < sectorsCount; count++) {
    const file = await open(join(directory, names[Math.floor(random() * names.length)]!), "r+");
    try {
      const { size } = await file.stat();
      const sector = Math.floor((random() * size) / SECTOR_BYTES);
      const lengthBytes = Math.min(SECTOR_BYTES, size - sector * SECTOR_BYTES);
      await file.write(randomBytes(lengthBytes), 0, lengthBytes, sector * SECTOR_BYTES);
    } finally {
      await file.close();
    }
  }
}
