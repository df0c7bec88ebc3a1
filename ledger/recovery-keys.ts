/**
 * Which recovery keys sites have, and so which of their logs count: docs/specs/keys.md, "Replacing a recovery key".
 *
 * Chains come with certificates and with entries, in any order. Of two chains of a site where one goes on where the other ends the
 * longer one counts; of two that part, the one on whose link members have agreed, and else the one that was here first, until people have
 * decided. A chain is never forgotten.
 */
import type { SiteId } from "#protocol/ids.ts";
import { siteIdOf } from "#protocol/keys.ts";
import { type RecoveryLink, parseRecoveryChain } from "#protocol/recovery-chain.ts";
import type { Entry, Log } from "./entry.ts";
import { readStatements } from "./statements.ts";

/** `rival`: it parts from the one that is known. `unproven`: members are to have agreed, and here is no roster that says so. */
export type ChainNews = "known" | "longer" | "rival" | "unproven";

/** On which links by majority members have agreed, in the order of the rosters. */
export type AgreedLinks = (siteId: SiteId) => readonly RecoveryLink[];

type Chain = readonly RecoveryLink[];

export class RecoveryKeys {
  readonly #chains = new Map<SiteId, Chain>();
  readonly #rivals = new Set<SiteId>();
  readonly #agreedLinks: AgreedLinks;

  constructor(components: { readonly agreedLinks: AgreedLinks }) {
    this.#agreedLinks = components.agreedLinks;
  }

  /** Empty while the site has its first key. */
  chainOf(siteId: SiteId): Chain {
    return this.#withAgreed(siteId, this.#learned(siteId));
  }

  /** Whether this is the site's key of now. */
  isNewest(siteId: SiteId, key: Uint8Array): boolean {
    return isKeyAfter(this.chainOf(siteId), siteId, key);
  }

  /** Whether somebody has shown a chain that parts from the one that counts: the former key is in two hands. */
  hasRival(siteId: SiteId): boolean {
    return this.#rivals.has(siteId);
  }

  /** What a store has kept, in place of what was learned. */
  restore(chains: ReadonlyMap<SiteId, Chain>): void {
    this.#chains.clear();
    for (const [siteId, chain] of chains) this.#chains.set(siteId, chain);
  }

  learn(siteId: SiteId, chain: Chain): ChainNews {
    const known = this.chainOf(siteId);
    if (!isProven(chain, [...known, ...this.#agreedLinks(siteId)])) return "unproven";
    const parting = partingOf(known, chain);
    if (parting !== undefined && (known[parting]!.isByMajority || !chain[parting]!.isByMajority)) {
      this.#rivals.add(siteId);
      return "rival";
    }
    const next = this.#withAgreed(siteId, parting === undefined && chain.length <= known.length ? known : chain);
    if (next.length <= known.length && partingOf(known, next) === undefined) return "known";
    this.#chains.set(siteId, next);
    return "longer";
  }

  /** Learns on what members have agreed since: whether the site has another key by that. */
  agree(siteId: SiteId): boolean {
    const [former, chain] = [this.#learned(siteId), this.chainOf(siteId)];
    this.#chains.set(siteId, chain);
    return chain.length > former.length || partingOf(former, chain) !== undefined;
  }

  #learned(siteId: SiteId): Chain {
    return this.#chains.get(siteId) ?? [];
  }

  /** What members have agreed on takes its place, also where the former key has signed another link. */
  #withAgreed(siteId: SiteId, chain: Chain): Chain {
    return this.#agreedLinks(siteId).reduce((links, link) => {
      const place = link.number - 2;
      return place > links.length || links[place]?.isByMajority === true ? links : [...links.slice(0, place), link];
    }, chain);
  }

  /** Whether the log was opened by the site's newest key, or by a former one before it was replaced. `agreed`: on what members are known to agree besides. */
  counts({ id, certificate: { siteId, chain } }: Log, agreed: Chain = []): boolean {
    const known = this.chainOf(siteId);
    if (!isProven(chain, [...known, ...this.#agreedLinks(siteId), ...agreed])) return false;
    const parting = partingOf(known, chain);
    if (parting !== undefined) return !known[parting]!.isByMajority && chain[parting]!.isByMajority;
    const replacedBy = known[chain.length];
    return replacedBy === undefined || replacedBy.logs.includes(id);
  }
}

/** Whether each link on which members are to have agreed is among those. */
export const isProven = (chain: Chain, agreed: Chain): boolean =>
  chain.every(({ isByMajority, hash }) => !isByMajority || agreed.some((link) => link.hash === hash));

/** Whether that is the last key of the chain; of an empty one the site's first. */
export function isKeyAfter(chain: Chain, siteId: SiteId, key: Uint8Array): boolean {
  const last = chain.at(-1)?.key;
  return last === undefined ? siteIdOf(key) === siteId : Buffer.compare(last, key) === 0;
}

/** The first place at which two chains have different links. */
function partingOf(one: Chain, other: Chain): number | undefined {
  const place = one.findIndex(({ hash }, index) => other[index] !== undefined && other[index].hash !== hash);
  return place < 0 ? undefined : place;
}

/** What the site's own entry says of its keys. */
export function chainSaidIn(entry: Entry, author: SiteId): readonly RecoveryLink[] | undefined {
  const [said] = entry.kind === "recovery-key" ? readStatements(entry) : [];
  return said?.kind === "recovery-key" && said.site === author ? parseRecoveryChain(said.chain, author) : undefined;
}
