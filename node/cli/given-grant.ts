/** A recovery kit that somebody offers for a drill of this site, as the running site gets it. */
import type { CallArguments } from "#node/control/calls.ts";
import { grantToWire } from "#node/control/restore-calls.ts";
import { makeGrant } from "#node/rescue/restore-grant.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { type KitOptions, readGivenKit } from "./kit-input.ts";
import { requireKitOf } from "./kit-secrets.ts";
import { callOn } from "./site-access.ts";

/** Throws `kit-invalid`, `kit-of-another-site`. */
export async function readGrantOf(data: string, options: KitOptions): Promise<CallArguments<"runKitDrill">> {
  const { siteId, fingerprint } = await callOn(data, "kit", {});
  using kit = await readGivenKit({ ...options, siteId });
  requireKitOf(fingerprint, kit);
  const found = await callOn(data, "restoreFind", { owner: siteId });
  using grant = await makeGrant({ siteId: parseSiteId(siteId), kitRoot: kit.kitRoot }, found);
  return grantToWire(grant);
}
