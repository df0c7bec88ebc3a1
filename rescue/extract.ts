/** `costor site extract`. */
import { resolve } from "node:path";
import { type KitOptions, readGivenKit } from "#node/cli/kit-input.ts";
import { CopiedSite } from "#node/rescue/copied-site.ts";
import { readKeysOf } from "#node/rescue/kit-keys.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes } from "#terminal/quantities.ts";
import type { RescueRequest } from "./rescue-options.ts";
import { runRescue } from "./rescue-run.ts";

interface CopyOptions extends KitOptions {
  readonly data: string;
}

export async function extractSite(copy: CopyOptions, request: RescueRequest, signal: AbortSignal): Promise<void> {
  await using site = await openCopy(copy, request.json, signal);
  await runRescue(site, request, signal);
}

async function openCopy(options: CopyOptions, json: boolean, signal: AbortSignal): Promise<CopiedSite> {
  using given = await readGivenKit(options, { needsSiteId: true });
  const { siteId } = given;
  const readKeys = readKeysOf(given.kitRoot);
  using progress = await createProgress({ title: "Reading the copy", json });
  const site = await CopiedSite.open({
    ...{ dataDirectory: resolve(options.data), siteId, readKeys, signal },
    onProgress: (state) => progress.update(state),
  });
  progress.end();
  if (site.damagedBytes > 0)
    process.stderr.write(`${formatBytes(site.damagedBytes)} of the copy are damaged: what is lost by it is named.\n`);
  return site;
}
