/** A machine that has heard from nobody since it began has written nothing: it cannot know what it has written before. */
import { InvariantViolation } from "./invariant-violation.ts";
import { lastSeqOn } from "./sim-disk.ts";
import type { SimSite } from "./sim-site.ts";

export class UnaskedEntries {
  readonly #world: { readonly honest: readonly SimSite[] };
  /** What each site's own log ended with when its life began. */
  readonly #seqs = new Map<SimSite, number>();

  constructor(world: { readonly honest: readonly SimSite[] }) {
    this.#world = world;
  }

  starting(site: SimSite): void {
    this.#seqs.set(site, lastSeqOn(site.disk, site.identity.log.id));
  }

  hourly(): void {
    for (const site of this.#world.honest) if (site.isUp && !site.hasHeard) this.check(site);
  }

  check(site: SimSite): void {
    // Who is to join is alone at first. Of a site that was cloned another machine may have written it.
    if (site.genesis.length === 0 || site.isCloned || !this.#world.honest.includes(site)) return;
    const lastSeq = lastSeqOn(site.disk, site.identity.log.id);
    if (lastSeq > this.#seqs.get(site)!)
      throw new InvariantViolation("I3-unasked", `${site.name} has written entry ${lastSeq} and asked nobody before`);
  }
}
