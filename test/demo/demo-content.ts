/** What the sites of the demo back up: real directories of this machine, different ones for each site and each backup. */
import { lstat, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileBlock } from "#test/bench/generated-content.ts";

export interface Content {
  readonly paths: readonly string[];
  readonly bytes: number;
}

export interface ContentInit {
  /** Whose entries are given out, whole. */
  readonly from: string;
  /** Where files are made when there is not enough. */
  readonly scratch: string;
  /** How many bytes each is to have, about; of one that finds less than half, files are made. */
  readonly wantedBytes: readonly number[];
}

/** An entry of more is left alone: nobody wants to wait for it. */
const MOST_ENTRY_BYTES = 50 * 2 ** 20;
const LEAST_ENTRY_BYTES = 100 * 1024;
const MADE_FILE_BLOCKS = 32;

/** One for each of `wantedBytes`. No entry is in two. */
export async function chooseContents({ from, scratch, wantedBytes }: ContentInit): Promise<Content[]> {
  const contents = wantedBytes.map(() => ({ paths: [] as string[], bytes: 0 }));
  const isWanted = ({ bytes }: { bytes: number }): boolean => bytes >= LEAST_ENTRY_BYTES && bytes <= MOST_ENTRY_BYTES;
  const entries = (await entriesOf(from)).filter(isWanted).sort((one, other) => other.bytes - one.bytes);
  for (const { path, bytes } of entries) {
    // To the one that lacks most, as long as it does not get far more than it wants.
    const lacking = contents.map((content, index) => wantedBytes[index]! - content.bytes);
    const index = lacking.indexOf(Math.max(...lacking));
    if (lacking[index]! <= 0) break;
    if (bytes > 2 * lacking[index]! + LEAST_ENTRY_BYTES) continue;
    contents[index]!.paths.push(path);
    contents[index]!.bytes += bytes;
  }
  for (const [index, content] of contents.entries())
    if (content.bytes < wantedBytes[index]! / 2) {
      const path = join(scratch, `made-${index}`);
      content.bytes += await makeFiles(path, wantedBytes[index]! - content.bytes, `demo ${index}`);
      content.paths.push(path);
    }
  return contents;
}

async function entriesOf(directory: string): Promise<{ path: string; bytes: number }[]> {
  const names = await readdir(directory).catch(() => []);
  return Promise.all(
    names.map(async (name) => ({ path: join(directory, name), bytes: await bytesOf(join(directory, name)) })),
  );
}

/** Of its files; what cannot be read counts nothing. */
async function bytesOf(path: string): Promise<number> {
  let bytes = 0;
  for (const waiting = [path]; waiting.length > 0 && bytes <= MOST_ENTRY_BYTES;) {
    const next = waiting.pop()!;
    const stats = await lstat(next).catch(() => undefined);
    if (stats?.isFile()) bytes += stats.size;
    else if (stats?.isDirectory())
      waiting.push(...(await readdir(next).catch(() => [])).map((name) => join(next, name)));
  }
  return bytes;
}

async function makeFiles(directory: string, bytes: number, seed: string): Promise<number> {
  await mkdir(directory, { recursive: true });
  let made = 0;
  for (let index = 0; made < bytes; index++) {
    const blocks = Array.from({ length: MADE_FILE_BLOCKS }, (_, block) => fileBlock(`${seed}/${index}`, block));
    const content = Buffer.concat(blocks);
    await writeFile(join(directory, `${index}.data`), content);
    made += content.length;
  }
  return made;
}
