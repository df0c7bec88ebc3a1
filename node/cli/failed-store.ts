/**
 * A running site whose store will not write again has to be started anew, by who looks after the process. It ends by itself only when the disk
 * lets itself be written to: until then a start would fail, and nothing could be read any more.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Logger } from "pino";
import { createDurably, syncDirectory } from "#node/site/durable-file.ts";
import { storeDirectoryOf } from "#node/site/site-store.ts";
import { CostorError } from "#protocol/errors.ts";

const TRY_EVERY_MS = 10_000;

/** Throws `store-failed` once a start may succeed, and the signal's reason. */
export async function endWithFailedStore(
  dataDirectory: string,
  why: string,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<never> {
  log.error(
    { why },
    "the store failed and takes nothing any more; the site ends as soon as the disk can be written to",
  );
  for (;;) {
    if (await isWritable(storeDirectoryOf(dataDirectory)))
      throw new CostorError("store-failed", `the store failed, and the site has to be started again: ${why}`);
    await setTimeout(TRY_EVERY_MS, undefined, { signal });
  }
}

async function isWritable(directory: string): Promise<boolean> {
  const path = join(directory, "write-test");
  try {
    await rm(path, { force: true });
    await createDurably(path, "");
    await rm(path);
    await syncDirectory(directory);
    return true;
  } catch {
    return false;
  }
}
