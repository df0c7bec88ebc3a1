/** What a site says of itself under seal: to which place each statement is bound. docs/specs/ledger.md, Sealed */
import type { SealedKind, StatementOf } from "#ledger/statements.ts";
import { type SiteId, uuidToBytes } from "#protocol/ids.ts";

type SealedPlace = { [Name in SealedKind]: Omit<StatementOf<Name>, "sealed"> }[SealedKind];

/** What is sealed for one place opens in no other. */
export function sealedContext(siteId: SiteId, statement: SealedPlace): Buffer {
  return Buffer.concat([Buffer.from(`${statement.kind}\0`), Buffer.from(siteId, "hex"), placeOf(statement)]);
}

function placeOf(statement: SealedPlace): Buffer {
  if (statement.kind === "state") return Buffer.from(statement.part);
  const agent = uuidToBytes(statement.agent);
  return statement.kind === "agent" ? agent : Buffer.concat([agent, uuidToBytes(statement.snapshot)]);
}
