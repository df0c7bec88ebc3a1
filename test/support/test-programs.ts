/**
 * The programs that tests check CoStor with, and the Debian packages that bring them. Where they are missing, tests skip
 * with a reason; so a run as root on Debian installs them first. `COSTOR_TEST_INSTALL=no` leaves the machine as it is.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";

/** Package by what a test looks for: a program, or a file where there is a `/`. */
const packages: Readonly<Record<string, string>> = {
  rsync: "rsync",
  bsdtar: "libarchive-tools",
  strace: "strace",
  unzip: "unzip",
  git: "git",
  python3: "python3",
  openssl: "openssl",
  "mkfs.vfat": "dosfstools",
  "ntfs-3g": "ntfs-3g",
  chromium: "chromium",
  pdftotext: "poppler-utils",
  "/usr/bin/time": "time",
  "/usr/lib/*/faketime/libfaketimeMT.so.1": "faketime",
};

/** A program by its name, or a file by its path, in which `*` stands for any part. */
export function isThere(wanted: string): boolean {
  if (wanted.includes("/")) return globSync(wanted).length > 0;
  return spawnSync("sh", ["-c", `command -v ${wanted}`], { stdio: "ignore" }).status === 0;
}

/** Says on stderr what it does. A failure is no failure of the run: what is missing is skipped. */
export function installTestPrograms(): void {
  const missing = Object.keys(packages)
    .filter((wanted) => !isThere(wanted))
    .map((wanted) => packages[wanted]!);
  if (missing.length === 0 || process.env["COSTOR_TEST_INSTALL"] === "no") return;
  const command = `apt-get install --no-install-recommends -y ${missing.join(" ")}`;
  if (process.getuid?.() !== 0 || !isThere("apt-get")) {
    process.stderr.write(`tests that need ${missing.join(", ")} will be skipped; on Debian: sudo ${command}\n`);
    return;
  }
  process.stderr.write(`installing what tests need: ${missing.join(", ")} …\n`);
  const init = { encoding: "utf8", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
  const { status, stderr } = spawnSync("sh", ["-c", `${command} || { apt-get update && ${command}; }`], init);
  if (status !== 0) process.stderr.write(`${stderr.trim()}\nnot installed; tests that need them will be skipped\n`);
}
