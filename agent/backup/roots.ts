/** The roots of a backup as a tree of names from `/` down: what lies above them is kept with its attributes only. */
import { readlinkSync } from "node:fs";
import { type ByteString, byteStringFromBytes } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { componentsOf, openRootParent } from "#agent/files/root-path.ts";

export interface RootNode {
  /** The root's absolute path, when this is one. */
  root?: ByteString;
  /** Below a root: ways to roots that lie in it, which matter where one of them is another file system. */
  readonly children: Map<ByteString, RootNode>;
}

/**
 * `path` with the symlinks above its last name resolved, where they can be trusted (agent/files/root-path.ts); else as it
 * is: the scan then meets what is wrong, and reports it.
 */
function resolveParent(path: ByteString): ByteString {
  const components = componentsOf(path);
  const name = components.pop();
  if (name === undefined) return "/" as ByteString;
  try {
    using parent = openRootParent(path).parent;
    const above = byteStringFromBytes(readlinkSync(`/proc/self/fd/${parent.fd}`, "buffer"));
    return `${above === "/" ? "" : above}/${name}` as ByteString;
  } catch {
    return `/${[...components, name].join("/")}` as ByteString;
  }
}

/**
 * The tree of `paths`, and its outermost roots: one that lies in another is covered by it. Throws `bad-usage` for more than a
 * snapshot can name.
 */
export function arrangeRoots(paths: readonly ByteString[]): { top: RootNode; roots: ByteString[] } {
  const top: RootNode = { children: new Map() };
  for (const path of paths.map(resolveParent)) {
    let node = top;
    for (const name of componentsOf(path)) {
      let child = node.children.get(name);
      if (!child) node.children.set(name, (child = { children: new Map() }));
      node = child;
    }
    node.root = path;
  }
  const roots: ByteString[] = [];
  const waiting = [top];
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    if (node.root !== undefined) roots.push(node.root);
    else waiting.push(...node.children.values());
  }
  const rootsBytes = roots.reduce((sum, root) => sum + root.length, 0);
  if (roots.length > limits.rootsCount || rootsBytes > limits.rootsBytes) {
    throw new CostorError(
      "bad-usage",
      `${roots.length} paths of ${rootsBytes} bytes in all: a snapshot has at most ${limits.rootsCount} roots of ` +
        `${limits.rootsBytes} bytes; name the directory that holds them, and leave the rest out by patterns`,
    );
  }
  return { top, roots: roots.sort() };
}
