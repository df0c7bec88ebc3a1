/** What of a recovery kit a site gets that reads with it: a ticket and read keys, and nothing that would make it the owner. */
import { randomBytes } from "node:crypto";
import { REQUESTED_KEYS_PART, sealedContext } from "#node/federation/sealed-statements.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { type SiteId, parsePeerKey } from "#protocol/ids.ts";
import { deriveReadKey, deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { openWithReadKey } from "#protocol/read-sealing.ts";
import { signRestoreTicket } from "#protocol/restore-ticket.ts";
import { readKeysOf } from "./kit-keys.ts";

export interface RestoreGrant extends Disposable {
  readonly ticket: Uint8Array;
  /** X25519 private keys by generation, from the first. */
  readonly readKeys: readonly Uint8Array[];
}

/**
 * What the site that is to read has told: its machine's key, and the owner's newest read key as it knows it, in hex; and in base64 what the owner
 * has sealed to the read key of a kit that it has asked for.
 */
export interface GrantedTo {
  readonly helper: string;
  readonly readKey?: { readonly generation: number; readonly publicKey: string };
  readonly requestedKeys?: string;
}

const TICKET_ID_BYTES = 16;

/** Disposing of it overwrites the keys. Throws `kit-of-another-site` when the owner's read key is not the kit's. */
export async function makeGrant(kit: OpenedKit, told: GrantedTo): Promise<RestoreGrant> {
  const { siteId, kitRoot } = kit;
  const { helper } = told;
  const readKeys = readKeysOf(kitRoot, await generationsOf(kit, told));
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

interface OpenedKit {
  readonly siteId: SiteId;
  readonly kitRoot: Uint8Array;
}

/** Only those that the owner has used: nobody but the owner can name the public key of a generation, so nobody gets one that is yet to come. */
async function generationsOf(kit: OpenedKit, { readKey, requestedKeys }: GrantedTo): Promise<number> {
  if (readKey === undefined) return 1;
  const { generation } = readKey;
  const { publicKey } = deriveReadKey(kit.kitRoot, generation);
  if (publicKey.toString("hex") === readKey.publicKey) return generation;
  if (requestedKeys !== undefined && (await opensRequested(kit, generation + 1, requestedKeys))) return generation + 1;
  throw new CostorError(
    "kit-of-another-site",
    "the site has a read key that does not come from this kit: it was replaced by a newer one, whose page is needed",
  );
}

/** Whether the owner has asked for this kit: members have agreed on it maybe, and the owner has not started with it since. */
async function opensRequested({ siteId, kitRoot }: OpenedKit, generation: number, sealed: string): Promise<boolean> {
  const { privateKey } = deriveReadKey(kitRoot, generation);
  const context = sealedContext(siteId, { kind: "state", part: REQUESTED_KEYS_PART });
  try {
    (await openWithReadKey(Buffer.from(sealed, "base64"), privateKey, context)).fill(0);
    return true;
  } catch (error) {
    if (!isCostorError(error, "seal-broken")) throw error;
    return false;
  } finally {
    privateKey.fill(0);
  }
}
