/** A tree in which everything that can hold text holds a marker, and what a restore of it has to give. */
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noise } from "#test/support/noise.ts";
import { setRawXattr } from "#test/support/raw-files.ts";
import { randomMarker } from "#test/support/secret-search.ts";

const DIRECTORIES_COUNT = 100;
const FILES_COUNT = 300;
const LINKS_COUNT = 50;
const LARGE_BYTES = 700_000;

export interface PlantedTree {
  /** Its own name is a marker, too. */
  readonly root: string;
  /** By what they are. */
  readonly markers: ReadonlyMap<string, Buffer>;
}

export function plantTree(parent: string): PlantedTree {
  const markers = new Map<string, Buffer>();
  const plant = (what: string): string => {
    const marker = randomMarker();
    markers.set(`${what} ${markers.size}`, Buffer.from(marker));
    return marker;
  };
  const root = join(parent, plant("root"));
  mkdirSync(root);
  const directories = [root];
  for (let count = 0; count < DIRECTORIES_COUNT; count++) {
    const path = join(directories[Math.floor(count / 3)]!, plant("directory"));
    mkdirSync(path);
    directories.push(path);
  }
  for (let count = 0; count < FILES_COUNT; count++) {
    const path = join(directories[count % directories.length]!, plant("file"));
    // Text, so that it is compressed before it is sealed, and now and then more than one piece of it.
    const text = `${"some words ".repeat(count % 40)}${plant("content")}${" and some more".repeat(count % 7)}`;
    writeFileSync(path, count % 50 === 0 ? Buffer.concat([noise(path, LARGE_BYTES), Buffer.from(text)]) : text);
    if (count % 3 === 0)
      setRawXattr(Buffer.from(path), `user.${plant("attribute")}`, Buffer.from(plant("attribute's value")));
    if (count % 30 === 0) linkSync(path, join(root, plant("hard link")));
  }
  for (let count = 0; count < LINKS_COUNT; count++)
    symlinkSync(`/nowhere/${plant("link's target")}`, join(directories[count]!, plant("link")));
  return { root, markers };
}
