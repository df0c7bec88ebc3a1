/**
 * `costor federation restore`. The kit is opened in this process; the site beside it gets a ticket and the read keys that its
 * owner has used, and nothing that would make it the owner.
 */
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { type GivenKit, type KitOptions, readGivenKit } from "#node/cli/kit-input.ts";
import { callOn } from "#node/cli/site-access.ts";
import { ControlledRestore } from "#node/rescue/controlled-restore.ts";
import { readKeysOf } from "#node/rescue/kit-keys.ts";
import { CostorError } from "#protocol/errors.ts";
import { parsePeerKey } from "#protocol/ids.ts";
import { deriveReadKey, deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { signRestoreTicket } from "#protocol/restore-ticket.ts";
import { withoutEscapes } from "#terminal/output.ts";
import type { RescueRequest } from "./rescue-options.ts";
import { runRescue } from "./rescue-run.ts";

const TICKET_ID_BYTES = 16;

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
      process.stderr.write(`note: site ${holder.slice(0, 16)} did not do its part: ${withoutEscapes(message)}\n`);
  }
}

async function open(options: KitOptions & { readonly data: string }, signal: AbortSignal): Promise<ControlledRestore> {
  const dataDirectory = resolve(options.data);
  using kit = await readGivenKit(options);
  const { siteId, kitRoot } = kit;
  const found = await callOn(dataDirectory, "restoreFind", { owner: siteId });
  const recovery = deriveRecoveryKey(kitRoot);
  const expiresMs = Date.now() + limits.restoreTicketLifeMs;
  const ticket = { siteId, peer: parsePeerKey(found.helper), id: randomBytes(TICKET_ID_BYTES), expiresMs };
  const readKeys = readKeysOf(kitRoot, generationsOf(kit, found.readKey));
  try {
    return await ControlledRestore.open({
      ...{ dataDirectory, readKeys, signal },
      ticket: signRestoreTicket(ticket, recovery.seed),
    });
  } finally {
    for (const key of [...readKeys, recovery.seed]) key.fill(0);
  }
}

/** Only those that the owner has used: nobody but the owner can name the public key of a generation, so nobody gets one that is yet to come. */
function generationsOf({ kitRoot }: GivenKit, told: { generation: number; publicKey: string } | undefined): number {
  if (told === undefined) return 1;
  const { publicKey } = deriveReadKey(kitRoot, told.generation);
  if (publicKey.toString("hex") === told.publicKey) return told.generation;
  throw new CostorError("signature-invalid", "this site names a read key that does not come from the kit");
}
