/** A file system of a given size, so that a disk can really be full. Needs root. */
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { scratchDirectory } from "#test/support/scratch.ts";

export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** `options` as for mount, each with a comma before it: ",nr_inodes=0". */
  resize(sizeBytes: number, options?: string): void;
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
}

/** Why no disk can be made here, or undefined. */
export function smallDiskObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can mount a tmpfs";
  const probe = spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/tmp"], {
    encoding: "utf8",
  });
  return probe.status === 0
    ? undefined
    : `mounting a tmpfs is not possible here: ${probe.stderr?.trim() ?? probe.error}`;
}

const mounted = new Set<string>();
process.on("exit", () => {
  for (const path of mounted) spawnSync("umount", ["-l", path]);
});

export async function mountSmallDisk(sizeBytes: number, options = ""): Promise<SmallDisk> {
  const path = join(await scratchDirectory("small-disk"), "disk");
  await mkdir(path);
  run("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes},mode=0700${options}`, "costor-test", path]);
  mounted.add(path);
  return {
    path,
    resize: (newBytes, newOptions = "") => run("mount", ["-o", `remount,size=${newBytes}${newOptions}`, path]),
    [Symbol.asyncDispose]: async () => {
      run("umount", [path]);
      mounted.delete(path);
    },
  };
}
