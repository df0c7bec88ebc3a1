/** What a site says of itself under seal: to which place each statement is bound, and which fact it is. docs/specs/ledger.md, Sealed */
import type { SealedKind, StatementOf } from "#ledger/statements.ts";
import { type SiteId, uuidToBytes } from "#protocol/ids.ts";

export type SealedPlace = { [Name in SealedKind]: Omit<StatementOf<Name>, "sealed"> }[SealedKind];

/** The part of the state that has what former kits opened: docs/specs/keys.md, "Replacing a recovery key". */
export const FORMER_KEYS_PART = "keys";
/** The same for a kit that is asked for, and that members have agreed on before its site has restarted. */
export const REQUESTED_KEYS_PART = "keys/requested";

/** What is sealed for one place opens in no other. */
export function sealedContext(siteId: SiteId, place: SealedPlace): Buffer {
  return Buffer.concat([Buffer.from(`${place.kind}\0`), Buffer.from(siteId, "hex"), bytesOf(place)]);
}

function bytesOf(place: SealedPlace): Buffer {
  if (place.kind === "state") return Buffer.from(place.part);
  const agent = uuidToBytes(place.agent);
  return place.kind === "agent" ? agent : Buffer.concat([agent, uuidToBytes(place.snapshot)]);
}

/** The key of the fact, within the kind of the statement; of a part of the state its name. */
export function keyOfPlace(place: SealedPlace): string {
  if (place.kind === "state") return place.part;
  return place.kind === "agent" ? place.agent : `${place.agent}/${place.snapshot}`;
}
