/**
 * `<data>/site.new` in the place of `<data>/site`: two renames, with the former one as `site.old` between. Whatever was cut short between them
 * is ended by {@link finishReplacement}, since the new one was whole before the first.
 */
import { access, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { passFailpoint } from "#protocol/failpoint.ts";
import { syncDirectory } from "./durable-file.ts";
import { siteDirectoryOf } from "./identity.ts";

export const newDirectoryOf = (dataDirectory: string): string => join(dataDirectory, "site.new");
const formerDirectoryOf = (dataDirectory: string): string => join(dataDirectory, "site.old");

export async function replaceDirectory(dataDirectory: string): Promise<void> {
  await rename(siteDirectoryOf(dataDirectory), formerDirectoryOf(dataDirectory));
  passFailpoint("replace.half-placed");
  await finishReplacement(dataDirectory);
}

/** Safe to repeat. */
export async function finishReplacement(dataDirectory: string): Promise<void> {
  const [siteDirectory, former] = [siteDirectoryOf(dataDirectory), formerDirectoryOf(dataDirectory)];
  if (!(await exists(former))) return;
  if (!(await exists(siteDirectory))) await rename(newDirectoryOf(dataDirectory), siteDirectory);
  await syncDirectory(dataDirectory);
  passFailpoint("replace.placed");
  await rm(former, { recursive: true });
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
