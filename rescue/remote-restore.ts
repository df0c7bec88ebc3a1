/**
 * `costor federation restore`. The kit is opened in this process; the site beside it gets a ticket and the read keys that its
 * owner has used, and nothing that would make it the owner.
 */
import { resolve } from "node:path";
import { type KitOptions, readGivenKit } from "#node/cli/kit-input.ts";
import { callOn } from "#node/cli/site-access.ts";
import { ControlledRestore } from "#node/rescue/controlled-restore.ts";
import { makeGrant } from "#node/rescue/restore-grant.ts";
import { printNote } from "#terminal/output.ts";
import type { RescueRequest } from "./rescue-options.ts";
import { runRescue } from "./rescue-run.ts";

export async function restoreRemotely(
  options: KitOptions & { readonly data: string },
  request: RescueRequest,
  signal: AbortSignal,
): Promise<void> {
  await using site = await open(options, signal);
  try {
    await runRescue(site, request, signal);
  } finally {
    for (const { holder, message } of signal.aborted ? [] : await site.failures().catch(() => []))
      printNote(`site ${holder.slice(0, 16)} did not do its part: ${message}`);
  }
}

async function open(options: KitOptions & { readonly data: string }, signal: AbortSignal): Promise<ControlledRestore> {
  const dataDirectory = resolve(options.data);
  using kit = await readGivenKit(options, { needsSiteId: true });
  using grant = await makeGrant(kit, await callOn(dataDirectory, "restoreFind", { owner: kit.siteId }));
  const { ticket, readKeys } = grant;
  return await ControlledRestore.open({ dataDirectory, ticket, readKeys, signal });
}
