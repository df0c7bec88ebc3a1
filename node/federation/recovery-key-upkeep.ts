/** Tells the ledger of a new recovery key of this site, so that those hear of it who do not look at its certificate. */
import type { FederationParts } from "./federation-parts.ts";

/** Safe to repeat. Throws what {@link FederationParts.entries} throws. */
export async function tellRecoveryKey({
  ledger,
  entries,
  ownLog,
}: Pick<FederationParts, "ledger" | "entries" | "ownLog">): Promise<void> {
  const { siteId, chain } = ownLog.log.certificate;
  const told = ledger.statement(siteId, "recovery-key", "")?.statement.chain.length ?? 0;
  if (chain.length <= told) return;
  await entries.write({ kind: "recovery-key", site: siteId, chain: chain.map(({ bytes }) => Buffer.from(bytes)) });
}
