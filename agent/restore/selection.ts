/** Which part of a snapshot is asked for: a tree of names; a node without children takes everything below it. */
import type { ByteString } from "#protocol/byte-string.ts";
import { componentsOf } from "#agent/files/root-path.ts";

export interface Selection {
  readonly children: Map<ByteString, Selection>;
}

const everything: Selection = { children: new Map() };

/** The selection of these absolute paths; everything when there are none. */
export function selectPaths(paths: readonly ByteString[]): Selection {
  const top: Selection = { children: new Map() };
  const whole = new Set<Selection>();
  for (const path of paths) {
    let node = top;
    for (const name of componentsOf(path)) {
      if (whole.has(node)) break;
      let child = node.children.get(name);
      if (!child) node.children.set(name, (child = { children: new Map() }));
      node = child;
    }
    whole.add(node);
    node.children.clear();
  }
  return top;
}

/** What is selected of the entry `name`; undefined for nothing. */
export function selectChild(selection: Selection, name: ByteString): Selection | undefined {
  return selection.children.size === 0 ? everything : selection.children.get(name);
}
