/** Copies of this project with one place changed, to see that a bug there is found; run as processes of their own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp, readFile, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { scratchDirectory } from "#test/support/scratch.ts";

const root = resolve(import.meta.dirname, "../..");
/** What a run of the simulator loads. */
const parts = ["protocol", "ledger", "node", "agent", "terminal", "test/simulation", "test/support", "package.json"];

/** A place in the source, which is there once, and what stands there instead. */
export interface Patch {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export async function copyTree(): Promise<string> {
  const tree = await scratchDirectory("patched");
  for (const part of parts) await cp(join(root, part), join(tree, part), { recursive: true });
  await symlink(join(root, "node_modules"), join(tree, "node_modules"));
  return tree;
}

/** Changes a copy; what is returned takes the changes back. */
export async function patchTree(tree: string, patches: readonly Patch[]): Promise<() => Promise<void>> {
  const former = new Map<string, string>();
  for (const { file, from, to } of patches) {
    const path = join(tree, file);
    const text = await readFile(path, "utf8");
    if (!former.has(path)) former.set(path, text);
    assert.equal(text.split(from).length, 2, `${file} has once: ${from}`);
    await writeFile(
      path,
      text.replace(from, () => to),
    );
  }
  return async () => {
    for (const [path, text] of former) await writeFile(path, text);
  };
}

/** What a run of the simulator in a copy says; the invariant by which it fails, if it does. */
export function runIn(
  tree: string,
  words: readonly string[],
): { readonly failedBy: string | undefined; readonly text: string } {
  const file = join(tree, "test/simulation/sim.ts");
  const { stdout, stderr } = spawnSync(process.execPath, [...runtimeFlags, file, "--no-shrink", ...words], {
    cwd: tree,
    encoding: "utf8",
  });
  return { failedBy: /FAILED (\S+?),/.exec(stdout)?.[1], text: stdout + stderr };
}
