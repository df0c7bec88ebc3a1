/** What former kits of a site opened, as it has told its ledger: opened by the kit of now. */
import type { Ledger } from "#ledger/ledger.ts";
import { type FormerKeys, parseFormerKeys } from "#node/site/former-keys.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { openWithAnyKey } from "#protocol/read-sealing.ts";
import { FORMER_KEYS_PART, sealedContext } from "./sealed-statements.ts";

export interface ToldFormerKeysInit {
  readonly siteId: SiteId;
  /** X25519 private keys of the kit of now. */
  readonly readKeys: readonly Uint8Array[];
}

/** Undefined when the site has had one kit only, or these are not the keys of its newest. */
export async function toldFormerKeys(
  { ledger }: { readonly ledger: Pick<Ledger, "statement" | "wholeStatements"> },
  { siteId, readKeys }: ToldFormerKeysInit,
): Promise<FormerKeys | undefined> {
  const told = ledger.statement(siteId, "state", FORMER_KEYS_PART);
  if (told === undefined) return undefined;
  const [whole] = await ledger.wholeStatements(told.logId, told.seq);
  if (whole?.kind !== "state") return undefined;
  try {
    return parseFormerKeys(await openWithAnyKey(whole.sealed, readKeys, sealedContext(siteId, whole)));
  } catch (error) {
    if (isCostorError(error, "seal-broken")) return undefined;
    throw error;
  }
}
