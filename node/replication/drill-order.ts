/**
 * The order by which an owner lets another site gather some of its primes from their holders, to prove that they can be had.
 * docs/specs/replication.md, Drills across sites
 */
import type { Clock } from "#ledger/clock.ts";
import { bytes, bytesOf, idOf, natural, readMessage } from "#ledger/message-schema.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type PeerKey, type PrimeId, type SiteId, parsePeerKey } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { signEd25519, verifyEd25519 } from "#protocol/raw-keys.ts";
import * as v from "valibot";
import { idsField, idsToBytes, siteField } from "./replicate-messages.ts";
import type { Sites } from "./replication-ports.ts";

export interface DrillOrder {
  readonly owner: SiteId;
  /** Who may fetch them. */
  readonly gatherer: PeerKey;
  readonly ids: readonly PrimeId[];
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

const DOMAIN = Buffer.from("costor/v1/drill-order\0");
const SIGNATURE_BYTES = 64;

const signedSchema = v.strictObject({ body: bytes, signature: bytesOf(SIGNATURE_BYTES) });
const bodySchema = v.strictObject({
  owner: siteField,
  gatherer: idOf(parsePeerKey),
  ids: idsField(limits.drillOrderIdsCount),
  expires: natural,
});

/** `peerSeed` is that of the owner's current machine. */
export function signDrillOrder({ owner, gatherer, ids, expiresMs }: DrillOrder, peerSeed: Uint8Array): Buffer {
  const body = encodeCbor({
    ...{ owner: Buffer.from(owner, "hex"), gatherer: Buffer.from(gatherer, "hex") },
    ...{ ids: idsToBytes(ids), expires: expiresMs },
  });
  return encodeCbor({ body, signature: signEd25519(peerSeed, Buffer.concat([DOMAIN, body])) });
}

/**
 * An order that counts now, for this gatherer. Throws `bad-encoding` for what is none, `signature-invalid` unless the
 * owner's current machine has signed it, and `peer-refused`.
 */
export function readDrillOrder(
  { sites, clock }: { readonly sites: Pick<Sites, "peerOf">; readonly clock: Pick<Clock, "now"> },
  encoded: Uint8Array,
  gatherer: PeerKey,
): DrillOrder {
  const { body, signature } = readMessage(signedSchema, encoded, "an order for a drill");
  const { expires: expiresMs, ...order } = readMessage(bodySchema, body, "an order for a drill");
  const refuse = (why: string): never => {
    throw new CostorError("peer-refused", `the order for a drill does not count here: ${why}`);
  };
  const signer = sites.peerOf(order.owner) ?? refuse("its owner is no site of the federation");
  if (!verifyEd25519(Buffer.from(signer, "hex"), Buffer.concat([DOMAIN, body]), signature))
    throw new CostorError("signature-invalid", "the order for a drill is not signed by its owner's machine");
  if (order.gatherer !== gatherer) refuse("it is for another site");
  const leftMs = expiresMs - clock.now();
  if (leftMs < -limits.restoreTicketToleranceMs) refuse("by this site's clock it has expired");
  if (leftMs > limits.drillOrderLifeMs + limits.restoreTicketToleranceMs)
    refuse("by this site's clock it is good for too long");
  return { ...order, expiresMs };
}
