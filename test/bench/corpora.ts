/**
 * The trees that the bench backs up. Each is made once below the bench's work folder and kept for later runs:
 * the folder's name carries everything that its content depends on. The system's own trees are used where they are.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, open, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { blockBytes, fileBlock, keyStream, seededFractions, shuffle } from "./generated-content.ts";

/** A tree to back up. `paths` are absolute; they are also what a restore is compared with. */
export interface Corpus {
  readonly name: string;
  readonly paths: readonly string[];
}

const project = join(import.meta.dirname, "../..");

/** Builds below a temporary name and renames, so that an interrupted build is never taken for a whole one. */
async function buildOnce(folder: string, build: (unfinished: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  await build(unfinished);
  await rename(unfinished, folder);
  return folder;
}

/** The system's own trees, as they are. `small` takes one modest part. */
export function systemCorpus(small: boolean): Corpus {
  const candidates = small
    ? ["/usr/share/zoneinfo", "/usr/share/perl", "/usr/share/perl5"]
    : ["/usr/share", `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`];
  return { name: "system", paths: candidates.filter((path) => existsSync(path)) };
}

/** A second machine: a copy of the first one's tree that lacks 2 % of its directories (small subtrees, by seed). */
export async function secondMachineCorpus(workFolder: string, first: Corpus, small: boolean): Promise<Corpus> {
  const folder = await buildOnce(join(workFolder, `second-machine${small ? "-small" : ""}-1`), async (unfinished) => {
    for (const path of first.paths) {
      const target = join(unfinished, path);
      await mkdir(target, { recursive: true });
      execFileSync("cp", ["-a", "--", `${path}/.`, target]);
    }
    const roots = first.paths.map((path) => join(unfinished, path));
    const directories = await subtreeCounts(unfinished);
    const wanted = Math.ceil(directories.size * 0.02);
    const removed: string[] = [];
    for (const [path, entryCount] of shuffle([...directories], seededFractions("second-machine"))) {
      if (removed.length >= wanted) break;
      if (
        entryCount > 200 ||
        roots.some((root) => root.startsWith(path)) ||
        removed.some((parent) => path.startsWith(`${parent}/`))
      )
        continue;
      removed.push(path);
    }
    for (const path of removed) await rm(path, { recursive: true });
  });
  return { name: "second-machine", paths: first.paths.map((path) => join(folder, path)) };
}

/** Every directory below `top` with the count of the objects below it, in a fixed order. */
async function subtreeCounts(top: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const visit = async (path: string): Promise<number> => {
    let count = 0;
    const entries = await readdir(path, { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      count += 1 + (entry.isDirectory() ? await visit(join(path, entry.name)) : 0);
    }
    counts.set(path, count);
    return count;
  };
  await visit(top);
  return counts;
}

/** Several projects' worth of node_modules: copies of this project's own, each with a few of its text files edited. */
export async function modulesCorpus(workFolder: string, small: boolean): Promise<Corpus> {
  const copyCount = small ? 1 : 4;
  const source = join(project, "node_modules");
  const folder = await buildOnce(join(workFolder, `modules-${copyCount}-1`), async (unfinished) => {
    for (let copy = 0; copy < copyCount; copy++) {
      const target = join(unfinished, `project-${copy}`, "node_modules");
      const fraction = seededFractions(`modules/${copy}`);
      for (const name of (await readdir(source)).toSorted()) {
        // The Node runtimes are single files of 100 MB; in the small form only packages of one letter are taken.
        if (name.startsWith("node-") || name.startsWith(".cache") || (small && !name.startsWith("c"))) continue;
        await cp(join(source, name), join(target, name), {
          recursive: true,
          verbatimSymlinks: true,
          preserveTimestamps: true,
        });
      }
      for (const path of await filesBelow(target)) {
        if (copy === 0 || !/\.(js|ts|json|md)$/.test(path) || fraction() >= 0.03) continue;
        await writeFile(path, `\n/* edited in project ${copy} */\n`, { flag: "a" });
      }
    }
  });
  return { name: "modules", paths: [folder] };
}

async function filesBelow(top: string): Promise<string[]> {
  const entries = await readdir(top, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

/** One large file, and the power to change 1 % of it and to change that back. */
export interface LargeFileCorpus extends Corpus {
  /** Puts the file into its first state (0) or into the one with 1 % overwritten (1), whatever state it is in. */
  setRevision(revision: 0 | 1): Promise<void>;
}

export async function largeFileCorpus(workFolder: string, small: boolean): Promise<LargeFileCorpus> {
  const blockCount = small ? 512 : 61_036; // 32 MiB, or 4 GB
  const folder = await buildOnce(join(workFolder, `large-${blockCount}-2`), async (unfinished) => {
    const file = await open(join(unfinished, "image.bin"), "w");
    for (let index = 0; index < blockCount; index++) await file.write(fileBlock("large", index));
    await file.close();
  });
  // Places lie a hundred blocks apart on average, each over the edge of two blocks, as an edit in a real file would.
  const fraction = seededFractions("large/places");
  const places = Array.from({ length: Math.ceil(blockCount / 100) }, (_, place) => ({
    firstBlock: Math.min(place * 100 + Math.floor(fraction() * 98), blockCount - 2),
    shiftBytes: Math.floor(fraction() * blockBytes),
  }));
  const setRevision = async (revision: 0 | 1): Promise<void> => {
    const file = await open(join(folder, "image.bin"), "r+");
    for (const [place, { firstBlock, shiftBytes }] of places.entries()) {
      const bytes = Buffer.concat([fileBlock("large", firstBlock), fileBlock("large", firstBlock + 1)]);
      if (revision === 1) keyStream(`large/changed/${place}`, blockBytes).copy(bytes, shiftBytes);
      await file.write(bytes, 0, bytes.length, firstBlock * blockBytes);
    }
    await file.close();
  };
  return { name: "large", paths: [folder], setRevision };
}

/** `fileCount` small files (150 to 1,500 bytes), a hundred in a directory, half of each file compressible. */
export async function manyFilesCorpus(workFolder: string, fileCount: number): Promise<Corpus> {
  const folder = await buildOnce(join(workFolder, `many-${fileCount}-1`), async (unfinished) => {
    const fraction = seededFractions("many");
    for (let index = 0; index < fileCount; index += 100) {
      const directory = join(
        unfinished,
        `group-${Math.floor(index / 10_000)}`,
        `folder-${Math.floor(index / 100) % 100}`,
      );
      await mkdir(directory, { recursive: true });
      const bytes = keyStream(`many/${index}`, 100 * 1_000);
      await Promise.all(
        Array.from({ length: Math.min(100, fileCount - index) }, async (_, place) => {
          const half = bytes.subarray(place * 1_000, place * 1_000 + 50 + Math.floor(fraction() * 450));
          const path = join(directory, `record-${index + place}.txt`);
          await writeFile(path, Buffer.concat([half, Buffer.from(half.toString("hex"), "latin1")]));
          await utimes(path, 1_700_000_000, 1_700_000_000 + place);
        }),
      );
    }
  });
  return { name: `many-${fileCount}`, paths: [folder] };
}

/** What a corpus holds: files (everything that is not a directory), directories and bytes of content. */
export function corpusCounts(corpus: Corpus): { fileCount: number; directoryCount: number; contentBytes: number } {
  const listing = execFileSync("find", [...corpus.paths, "-printf", "%y %s\n"], {
    maxBuffer: 2 ** 30,
    encoding: "latin1",
  });
  let fileCount = 0;
  let directoryCount = 0;
  let contentBytes = 0;
  for (const line of listing.split("\n")) {
    if (line.startsWith("d")) directoryCount++;
    else if (line !== "") {
      fileCount++;
      if (line.startsWith("f")) contentBytes += Number(line.slice(2));
    }
  }
  return { fileCount, directoryCount, contentBytes };
}

/** What a lost site is restored from: a file of 10 MB, large files and small ones; 1.4 GB in all. */
export async function rescuedCorpus(workFolder: string, small: boolean): Promise<Corpus & { readonly file: string }> {
  const [largeCount, smallCount] = small ? [4, 100] : [130, 10_000];
  const folder = await buildOnce(join(workFolder, `rescued-${largeCount}-1`), async (unfinished) => {
    await writeFile(join(unfinished, "ten.bin"), keyStream("ten", 1_000_000));
    for (let part = 1; part < 10; part++)
      await writeFile(join(unfinished, "ten.bin"), keyStream(`ten/${part}`, 1_000_000), { flag: "a" });
    await mkdir(join(unfinished, "large"));
    for (let index = 0; index < largeCount; index++) {
      const blocks = Array.from({ length: 128 }, (_, block) => fileBlock(`rescued/${index}`, block));
      await writeFile(join(unfinished, "large", `image-${index}.bin`), Buffer.concat(blocks));
    }
    const fraction = seededFractions("rescued");
    for (let index = 0; index < smallCount; index++) {
      const directory = join(unfinished, "small", `folder-${Math.floor(index / 50)}`);
      if (index % 50 === 0) await mkdir(directory, { recursive: true });
      const bytes = keyStream(`rescued/${index}`, 1_000 + Math.floor(fraction() * 60_000));
      await writeFile(join(directory, `record-${index}.bin`), bytes);
    }
  });
  return { name: "rescued", paths: [folder], file: join(folder, "ten.bin") };
}
