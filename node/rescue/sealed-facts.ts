/**
 * What a site has told the ledger of its agents and snapshots (node/federation/site-statements.ts), opened by its read keys: the
 * facts as they were in its own store.
 */
import type { Ledger } from "#ledger/ledger.ts";
import { sealedContext } from "#node/federation/sealed-statements.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { openWithReadKey } from "#protocol/read-sealing.ts";
import { type FactReader, firstThatOpens } from "./rescued-snapshots.ts";

export interface SealedFactsInit {
  readonly siteId: SiteId;
  /** X25519 private keys, at least one. */
  readonly readKeys: readonly Uint8Array[];
  readonly signal?: AbortSignal | undefined;
}

/** What none of the keys opens is left out. */
export async function openSealedFacts(
  { ledger }: { ledger: Pick<Ledger, "statements" | "wholeStatements"> },
  { siteId, readKeys, signal }: SealedFactsInit,
): Promise<FactReader> {
  const facts = new Map<string, Map<string, Buffer>>([
    ["agent", new Map()],
    ["snapshot", new Map()],
  ]);
  for (const { logId, seq } of [...ledger.statements(siteId, "agent"), ...ledger.statements(siteId, "snapshot")]) {
    signal?.throwIfAborted();
    for (const statement of await ledger.wholeStatements(logId, seq)) {
      if (statement.kind !== "agent" && statement.kind !== "snapshot") continue;
      const ids = statement.kind === "agent" ? [statement.agent] : [statement.agent, statement.snapshot];
      const context = sealedContext(siteId, statement);
      try {
        const value = await firstThatOpens(readKeys, (key) => openWithReadKey(statement.sealed, key, context));
        facts.get(statement.kind)!.set(ids.join("/"), Buffer.from(value));
      } catch (error) {
        if (!isCostorError(error, "seal-broken")) throw error;
      }
    }
  }
  return {
    fact: async (kind, key) => facts.get(kind)?.get(key),
    async *facts(kind, prefix = "") {
      // Ids are ASCII: their order is that of their bytes.
      for (const [key, value] of [...(facts.get(kind) ?? [])].toSorted(([one], [other]) => (one < other ? -1 : 1)))
        if (key.startsWith(prefix)) yield { key, value };
    },
  };
}
