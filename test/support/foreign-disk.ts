/** File systems that know no Linux owners and modes, really mounted: the FAT and NTFS of other machines' disks. Needs root. */
import { spawnSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "#test/support/scratch.ts";

export type ForeignKind = "vfat" | "ntfs";
export const foreignKinds: readonly ForeignKind[] = ["vfat", "ntfs"];

const IMAGE_BYTES = 64 * 1024 ** 2;
/** As a desktop mounts them: all belongs to one user. */
const MOUNT_OPTIONS = "uid=1000,gid=1000";

const commands: Readonly<Record<ForeignKind, (image: string, path: string) => readonly (readonly string[])[]>> = {
  vfat: (image, path) => [
    ["mkfs.vfat", image],
    ["mount", "-t", "vfat", "-o", `loop,${MOUNT_OPTIONS}`, image, path],
  ],
  ntfs: (image, path) => [
    ["mkntfs", "--quick", "--force", image],
    ["ntfs-3g", "-o", MOUNT_OPTIONS, image, path],
  ],
};

export interface ForeignDisk extends Disposable {
  readonly path: string;
}

/** A mounted file system, or why there can be none here. */
export async function mountForeignDisk(kind: ForeignKind): Promise<ForeignDisk | string> {
  if (process.geteuid!() !== 0) return "only root mounts";
  const directory = await scratchDirectory(kind);
  const [image, path] = [join(directory, "image"), join(directory, "mounted")];
  writeFileSync(image, "");
  truncateSync(image, IMAGE_BYTES);
  mkdirSync(path);
  for (const [program, ...args] of commands[kind](image, path)) {
    const { status, stderr, error } = spawnSync(program!, args, { encoding: "utf8" });
    if (status !== 0) return `${program} is not possible here: ${(error?.message ?? stderr).trim().split("\n")[0]}`;
  }
  return { path, [Symbol.dispose]: () => void spawnSync("umount", [path]) };
}
