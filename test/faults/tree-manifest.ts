/** What a directory holds, so that it can be compared with a restore after it has changed. */
import { createHash } from "node:crypto";
import { lstatSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** One line an object: what it is, its attributes, its content's hash. */
export type TreeManifest = ReadonlyMap<string, string>;

export function treeManifest(root: string): TreeManifest {
  const lines = new Map<string, string>();
  const waiting = ["."];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const full = join(root, path);
    const stat = lstatSync(full, { bigint: true });
    const attributes = `${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${stat.mtimeNs}`;
    if (stat.isDirectory()) {
      lines.set(path, `directory ${attributes}`);
      for (const name of readdirSync(full).sort()) waiting.push(`${path}/${name}`);
    } else if (stat.isSymbolicLink()) lines.set(path, `link ${readlinkSync(full)}`);
    else lines.set(path, `file ${attributes} ${createHash("sha256").update(readFileSync(full)).digest("hex")}`);
  }
  return lines;
}
