/** A site of its own for each test of its commands. */
import { join } from "node:path";
import { scratchDirectory } from "#test/support/scratch.ts";
import { type SiteProcess, startSiteProcess } from "#test/support/site-process.ts";

/** Of the error that a command with --json has told. */
export const codeOf = (stderr: string): string =>
  (JSON.parse(stderr.trim().split("\n").at(-1)!) as { error: { code: string } }).error.code;

/** Killed when the work is done. */
export async function withSite(
  work: (site: SiteProcess, data: string, kitFile: string) => Promise<void>,
): Promise<void> {
  const scratch = await scratchDirectory("commands");
  const [data, kitFile] = [join(scratch, "data"), join(scratch, "kit.txt")];
  const site = await startSiteProcess(data, "--kit", kitFile, "--name", "Hill School");
  try {
    await work(site, data, kitFile);
  } finally {
    await site.stop("SIGKILL");
  }
}
