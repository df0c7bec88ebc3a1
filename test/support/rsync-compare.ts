/**
 * Compares two trees by what rsync would change: a second opinion on a restore, by a program that shares no code with
 * CoStor. It sees names, types, content (by checksum), sizes, modes, owners, times to the nanosecond, hard-link groups,
 * ACLs, xattrs and what is superfluous. It does not see holes, and it cannot walk past PATH_MAX: for those there is the
 * project's own comparer.
 */
import { spawn, spawnSync } from "node:child_process";

export interface RsyncOptions {
  /** rsync patterns of what is left out on both sides, for example sockets, which no restore brings back. */
  readonly exclude?: readonly string[];
  /** Leaves owner and group out, for restores by an ordinary user. */
  readonly ignoresOwners?: boolean;
}

export function isRsyncInstalled(): boolean {
  return spawnSync("rsync", ["--version"], { stdio: "ignore" }).status === 0;
}

/**
 * One line for each difference between the directories, in rsync's itemised form; none when they are equal.
 * Nothing is changed. Throws when rsync could not compare everything.
 */
export function rsyncDifferences(original: string, restored: string, options: RsyncOptions = {}): Promise<string[]> {
  const rsync = spawn(
    "rsync",
    [
      "-aHAX",
      "--checksum",
      "--dry-run",
      "--itemize-changes",
      "--delete",
      "--modify-window=-1",
      ...(options.ignoresOwners ? ["--no-owner", "--no-group"] : []),
      ...(options.exclude ?? []).map((pattern) => `--exclude=${pattern}`),
      "--",
      `${original.replace(/\/+$/, "")}/`,
      `${restored.replace(/\/+$/, "")}/`,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let printed = "";
  let complaints = "";
  rsync.stdout.setEncoding("latin1").on("data", (piece: string) => (printed += piece));
  rsync.stderr.setEncoding("latin1").on("data", (piece: string) => (complaints += piece));
  return new Promise((resolve, reject) => {
    rsync.once("error", reject);
    rsync.once("close", (exitCode) => {
      if (exitCode === 0) resolve(printed.split("\n").filter((line) => line !== ""));
      else reject(new Error(`rsync ended with exit code ${exitCode}: ${complaints.trim().slice(0, 2_000)}`));
    });
  });
}
