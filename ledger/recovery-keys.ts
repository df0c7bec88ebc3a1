/**
 * Which recovery keys sites have, and so which of their logs count: docs/specs/keys.md, "Replacing a recovery key".
 *
 * Chains come with certificates and with entries, in any order. Of two chains of a site where one goes on where the other ends the
 * longer one counts; of two that part, the one that was here first, until people have decided. A chain is never forgotten.
 */
import type { SiteId } from "#protocol/ids.ts";
import { type RecoveryLink, parseRecoveryChain } from "#protocol/recovery-chain.ts";
import type { Entry, Log } from "./entry.ts";
import { readStatements } from "./statements.ts";

/** `rival`: it parts from the one that is known. */
export type ChainNews = "known" | "longer" | "rival";

export class RecoveryKeys {
  readonly #chains = new Map<SiteId, readonly RecoveryLink[]>();
  readonly #rivals = new Set<SiteId>();

  /** Empty while the site has its first key. */
  chainOf(siteId: SiteId): readonly RecoveryLink[] {
    return this.#chains.get(siteId) ?? [];
  }

  /** Whether somebody has shown a chain that parts from the one that counts: the former key is in two hands. */
  hasRival(siteId: SiteId): boolean {
    return this.#rivals.has(siteId);
  }

  /** What a store has kept, in place of what was learned. */
  restore(chains: ReadonlyMap<SiteId, readonly RecoveryLink[]>): void {
    this.#chains.clear();
    for (const [siteId, chain] of chains) this.#chains.set(siteId, chain);
  }

  learn(siteId: SiteId, chain: readonly RecoveryLink[]): ChainNews {
    const known = this.chainOf(siteId);
    if (partsFrom(known, chain)) {
      this.#rivals.add(siteId);
      return "rival";
    }
    if (chain.length <= known.length) return "known";
    this.#chains.set(siteId, chain);
    return "longer";
  }

  /** Whether the log was opened by the site's newest key, or by a former one before it was replaced. */
  counts({ id, certificate: { siteId, chain } }: Log): boolean {
    const known = this.chainOf(siteId);
    if (partsFrom(known, chain)) return false;
    const replacedBy = known[chain.length];
    return replacedBy === undefined || replacedBy.logs.includes(id);
  }
}

const partsFrom = (one: readonly RecoveryLink[], other: readonly RecoveryLink[]): boolean =>
  one.some(({ hash }, index) => other[index] !== undefined && other[index].hash !== hash);

/** What the site's own entry says of its keys. */
export function chainSaidIn(entry: Entry, author: SiteId): readonly RecoveryLink[] | undefined {
  const [said] = entry.kind === "recovery-key" ? readStatements(entry) : [];
  return said?.kind === "recovery-key" && said.site === author ? parseRecoveryChain(said.chain, author) : undefined;
}
