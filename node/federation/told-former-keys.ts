/** What former kits of a site opened, as it has told its ledger: opened by the kit of now. */
import type { Ledger } from "#ledger/ledger.ts";
import { type FormerKeys, parseFormerKeys } from "#node/site/former-keys.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { openWithAnyKey } from "#protocol/read-sealing.ts";
import { FORMER_KEYS_PART, REQUESTED_KEYS_PART, sealedContext } from "./sealed-statements.ts";

export interface ToldFormerKeysInit {
  readonly siteId: SiteId;
  /** X25519 private keys of the kit of now. */
  readonly readKeys: readonly Uint8Array[];
}

/** Undefined when the site has had one kit only, or these are not the keys of its newest, nor of one that it has asked for. */
export async function toldFormerKeys(
  { ledger }: { readonly ledger: Pick<Ledger, "statement" | "wholeStatements"> },
  { siteId, readKeys }: ToldFormerKeysInit,
): Promise<FormerKeys | undefined> {
  for (const part of [FORMER_KEYS_PART, REQUESTED_KEYS_PART]) {
    const sealed = await sealedKeysOf({ ledger }, siteId, part);
    if (sealed === undefined) continue;
    try {
      return parseFormerKeys(await openWithAnyKey(sealed, readKeys, sealedContext(siteId, { kind: "state", part })));
    } catch (error) {
      if (!isCostorError(error, "seal-broken")) throw error;
    }
  }
  return undefined;
}

/** As the site has told it; undefined when it has not. */
export async function sealedKeysOf(
  { ledger }: { readonly ledger: Pick<Ledger, "statement" | "wholeStatements"> },
  siteId: SiteId,
  part: string,
): Promise<Buffer | undefined> {
  const told = ledger.statement(siteId, "state", part);
  const [whole] = told === undefined ? [] : await ledger.wholeStatements(told.logId, told.seq);
  return whole?.kind === "state" ? whole.sealed : undefined;
}
