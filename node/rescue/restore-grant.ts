/** What of a recovery kit a site gets that reads with it: a ticket and read keys, and nothing that would make it the owner. */
import { randomBytes } from "node:crypto";
import { CostorError } from "#protocol/errors.ts";
import { type SiteId, parsePeerKey } from "#protocol/ids.ts";
import { deriveReadKey, deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { signRestoreTicket } from "#protocol/restore-ticket.ts";
import { readKeysOf } from "./kit-keys.ts";

export interface RestoreGrant extends Disposable {
  readonly ticket: Uint8Array;
  /** X25519 private keys by generation, from the first. */
  readonly readKeys: readonly Uint8Array[];
}

/** What the site that is to read has told: its machine's key, and the owner's newest read key as it knows it, in hex. */
export interface GrantedTo {
  readonly helper: string;
  readonly readKey?: { readonly generation: number; readonly publicKey: string };
}

const TICKET_ID_BYTES = 16;

/** Disposing of it overwrites the keys. Throws `kit-of-another-site` when the owner's read key is not the kit's. */
export function makeGrant(
  { siteId, kitRoot }: { readonly siteId: SiteId; readonly kitRoot: Uint8Array },
  { helper, readKey }: GrantedTo,
): RestoreGrant {
  const readKeys = readKeysOf(kitRoot, generationsOf(kitRoot, readKey));
  const { seed } = deriveRecoveryKey(kitRoot);
  const expiresMs = Date.now() + limits.restoreTicketLifeMs;
  const fields = { siteId, peer: parsePeerKey(helper), id: randomBytes(TICKET_ID_BYTES), expiresMs };
  const ticket = signRestoreTicket(fields, seed);
  seed.fill(0);
  return {
    ...{ ticket, readKeys },
    [Symbol.dispose]: () => {
      for (const key of readKeys) key.fill(0);
    },
  };
}

/** Only those that the owner has used: nobody but the owner can name the public key of a generation, so nobody gets one that is yet to come. */
function generationsOf(kitRoot: Uint8Array, told: GrantedTo["readKey"]): number {
  if (told === undefined) return 1;
  const { publicKey } = deriveReadKey(kitRoot, told.generation);
  if (publicKey.toString("hex") === told.publicKey) return told.generation;
  throw new CostorError(
    "kit-of-another-site",
    "the site has a read key that does not come from this kit: it was replaced by a newer one, whose page is needed",
  );
}
