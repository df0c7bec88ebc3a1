/**
 * Which sites hold each slice of an owner's primes. docs/specs/replication.md, Placement.
 *
 * Pure: the same input and chance give the same table. Invariants: never the owner, never two guests in one slice, nobody
 * that may not hold; who holds well goes on holding, whoever else comes; a holder that is replaced leaves the table only
 * when enough others have given their receipts.
 */
import { hash } from "node:crypto";
import type { SiteId } from "#protocol/ids.ts";
import type { HoldingSite } from "./holding-site.ts";
import type { Rng } from "./rng.ts";

/** A member or guest, as the one who plans knows it. */
export interface Candidate extends HoldingSite {
  /** What it offers and does not use yet, as far as that was proven. */
  readonly freeBytes: number;
  /** How long nothing was heard of it while others were heard. */
  readonly silentMs: number;
  /** An audit in force tells against it. */
  readonly failsAudits: boolean;
  /** It refused a reservation within the last day. */
  readonly refuses: boolean;
  /** It says that it leaves the federation. */
  readonly isLeaving: boolean;
}

export interface SliceToPlace {
  /** What a new holder would have to keep. */
  readonly bytes: number;
  readonly holders: readonly SiteId[];
  /** Of the holders those whose copy counts and is up to date. */
  readonly stored: ReadonlySet<SiteId>;
}

export interface PlacementInput {
  readonly owner: SiteId;
  /** Members and guests; who is not among them may not hold at all. */
  readonly candidates: readonly Candidate[];
  /** By number. */
  readonly slices: readonly SliceToPlace[];
  readonly copiesCount: number;
}

/** Why a slice needs another holder. */
export type PlacementReason =
  | "new"
  | "gone"
  | "audit-failed"
  | "silent"
  | "refused"
  | "leaving"
  | "two-guests"
  | "one-domain";

export interface PlacementChange {
  readonly slice: number;
  readonly holder: SiteId;
  readonly what: "added" | "removed";
  /** Of one that is removed because enough others have the slice and nothing tells against it: `surplus`. */
  readonly why: PlacementReason | "surplus";
}

export interface PlacementPlan {
  /** By slice, ascending. */
  readonly table: readonly (readonly SiteId[])[];
  readonly changes: readonly PlacementChange[];
  /** By slice, how many holders could not be found. */
  readonly lackingCounts: readonly number[];
}

const DAY_MS = 24 * 3_600_000;
/** A holder that is silent for so long, and up to a day more, is replaced. */
const REPLACED_SILENT_MS = 3 * DAY_MS;
/**
 * Once so many hold for an owner, further slices are drawn among them while they can take them: what runs, audits and receipts cost
 * does not grow with the federation, and fewer pairs of sites are the only ones that have a slice.
 */
export const HOLDERS_COUNT = 8;
/** Nobody is drawn that was not heard of for so long. */
const DRAWN_SILENT_MS = DAY_MS;

export function planPlacement(input: PlacementInput, rng: Rng): PlacementPlan {
  const bySite = new Map(input.candidates.map((candidate) => [candidate.siteId, candidate]));
  const freeBytes = new Map(input.candidates.map((candidate) => [candidate.siteId, candidate.freeBytes]));
  const holding = new Set(input.slices.flatMap(({ holders }) => holders).filter((site) => bySite.has(site)));
  const shared = { input, bySite, freeBytes, holding, rng };
  const plans = input.slices.map((toPlace, slice) => new SlicePlan({ ...shared, slice, toPlace }));
  for (const plan of plans) plan.make();
  return {
    table: plans.map(({ holders }) => [...holders].sort()),
    changes: plans.flatMap(({ changes }) => changes),
    lackingCounts: plans.map(({ lackingCount }) => lackingCount),
  };
}

interface SlicePlanInit {
  readonly input: PlacementInput;
  readonly slice: number;
  readonly toPlace: SliceToPlace;
  readonly bySite: ReadonlyMap<SiteId, Candidate>;
  /** Shared by all slices: what is drawn for one is not free for the next. */
  readonly freeBytes: Map<SiteId, number>;
  /** Of any slice. Shared too. */
  readonly holding: Set<SiteId>;
  readonly rng: Rng;
}

class SlicePlan {
  readonly #init: SlicePlanInit;
  readonly holders: SiteId[] = [];
  readonly changes: PlacementChange[] = [];
  lackingCount = 0;
  /** Holders that are to go, once others have the slice. */
  readonly #leaving = new Map<SiteId, PlacementReason>();
  /** Why the next one is drawn. */
  readonly #vacancies: PlacementReason[] = [];

  constructor(init: SlicePlanInit) {
    this.#init = init;
  }

  make(): void {
    this.#judge();
    this.#draw();
    this.#let();
  }

  /** Sorts the holders so far into those that stay, those that are to be replaced and those that go at once. */
  #judge(): void {
    const { input, toPlace, bySite, slice } = this.#init;
    for (const holder of toPlace.holders) {
      const candidate = bySite.get(holder);
      if (candidate === undefined || holder === input.owner) {
        this.#remove(holder, "gone");
        this.#vacancies.push("gone");
        continue;
      }
      this.holders.push(holder);
      if (candidate.failsAudits) this.#leaving.set(holder, "audit-failed");
      else if (candidate.isLeaving) this.#leaving.set(holder, "leaving");
      else if (isSilent(candidate, input.owner, slice)) this.#leaving.set(holder, "silent");
      else if (candidate.refuses && !toPlace.stored.has(holder)) this.#leaving.set(holder, "refused");
    }
    this.#judgeGuests();
    this.#judgeDomains();
    this.#vacancies.push(...this.#leaving.values());
  }

  /** One guest at most, also among those that are to go: of several the one that has the slice. */
  #judgeGuests(): void {
    const guests = this.holders.filter((holder) => this.#init.bySite.get(holder)!.isGuest);
    const [kept] = this.#byWorth(guests);
    for (const guest of guests) {
      if (guest === kept) continue;
      this.holders.splice(this.holders.indexOf(guest), 1);
      this.#leaving.delete(guest);
      this.#remove(guest, "two-guests");
      this.#vacancies.push("two-guests");
    }
  }

  /** Of holders that fail together all but one are to be replaced, where others have the slice or can take it. */
  #judgeDomains(): void {
    const domains = this.#domains();
    if (domains.size === this.#staying().length) return;
    const isMended =
      domains.size >= this.#init.input.copiesCount || this.#eligible().some((site) => !domains.has(site.domain));
    if (!isMended) return;
    const met = new Set<string>();
    for (const holder of this.#byWorth(this.#staying())) {
      if (met.has(this.#domainOf(holder))) this.#leaving.set(holder, "one-domain");
      met.add(this.#domainOf(holder));
    }
  }

  #draw(): void {
    const { input, toPlace, freeBytes, holding } = this.#init;
    const lacking = input.copiesCount - this.#staying().length;
    for (let drawn = 0; drawn < lacking; drawn++) {
      const eligible = this.#eligible();
      const domains = this.#domains();
      const apart = eligible.filter((site) => !domains.has(site.domain));
      const why = this.#vacancies.shift() ?? "new";
      const site = this.#drawOne(apart.length > 0 || why === "one-domain" ? apart : eligible);
      if (site === undefined) {
        this.lackingCount = lacking - drawn;
        return;
      }
      this.holders.push(site);
      holding.add(site);
      freeBytes.set(site, freeBytes.get(site)! - toPlace.bytes);
      this.changes.push({ slice: this.#init.slice, holder: site, what: "added", why });
    }
  }

  /** Lets those go for whom enough others have given their receipts. */
  #let(): void {
    const { input, toPlace } = this.#init;
    const stored = this.#staying().filter((holder) => toPlace.stored.has(holder));
    if (stored.length < input.copiesCount || this.holders.length === input.copiesCount) return;
    const kept = new Set(this.#byWorth(stored).slice(0, input.copiesCount));
    for (const holder of [...this.holders]) {
      if (kept.has(holder)) continue;
      this.holders.splice(this.holders.indexOf(holder), 1);
      this.#remove(holder, this.#leaving.get(holder) ?? "surplus");
    }
  }

  #staying(): SiteId[] {
    return this.holders.filter((holder) => !this.#leaving.has(holder));
  }

  /** Those first that have the slice, then members, then those whose domain no better one has; last by a hash, so that nothing changes from plan to plan. */
  #byWorth(holders: readonly SiteId[]): SiteId[] {
    const { input, toPlace, bySite, slice } = this.#init;
    if (holders.length <= 1) return [...holders];
    const rank = (holder: SiteId): string => {
      const isStored = toPlace.stored.has(holder) && !this.#leaving.has(holder);
      const fraction = hashFraction(input.owner, holder, slice).toFixed(12);
      return `${isStored ? 0 : 1}${bySite.get(holder)!.isGuest ? 1 : 0}${fraction}`;
    };
    const ranks = new Map(holders.map((holder) => [holder, rank(holder)]));
    const ranked = [...holders].sort((one, other) => (ranks.get(one)! < ranks.get(other)! ? -1 : 1));
    const met = new Set<string>();
    const firsts = ranked.filter((holder) => !met.has(this.#domainOf(holder)) && met.add(this.#domainOf(holder)));
    return [...firsts, ...ranked.filter((holder) => !firsts.includes(holder))];
  }

  #eligible(): Candidate[] {
    const { input, toPlace, freeBytes, bySite } = this.#init;
    const hasGuest = this.holders.some((holder) => bySite.get(holder)!.isGuest);
    return input.candidates.filter(
      (site) =>
        site.siteId !== input.owner &&
        !toPlace.holders.includes(site.siteId) &&
        !this.holders.includes(site.siteId) &&
        !(site.isGuest && hasGuest) &&
        !site.failsAudits &&
        !site.refuses &&
        !site.isLeaving &&
        site.silentMs < DRAWN_SILENT_MS &&
        freeBytes.get(site.siteId)! > 0 &&
        freeBytes.get(site.siteId)! >= toPlace.bytes,
    );
  }

  /** Of those that stay. */
  #domains(): Set<string> {
    return new Set(this.#staying().map((holder) => this.#domainOf(holder)));
  }

  #domainOf(holder: SiteId): string {
    return this.#init.bySite.get(holder)!.domain;
  }

  #drawOne(all: readonly Candidate[]): SiteId | undefined {
    const { freeBytes, holding, rng } = this.#init;
    const known = holding.size < HOLDERS_COUNT ? [] : all.filter(({ siteId }) => holding.has(siteId));
    const sites = known.length > 0 ? known : all;
    const weights = sites.map(({ siteId }) => freeBytes.get(siteId)!);
    let at = rng.fraction() * weights.reduce((sum, weight) => sum + weight, 0);
    for (const [index, weight] of weights.entries()) if ((at -= weight) < 0) return sites[index]!.siteId;
    return sites.at(-1)?.siteId;
  }

  #remove(holder: SiteId, why: PlacementChange["why"]): void {
    this.changes.push({ slice: this.#init.slice, holder, what: "removed", why });
  }
}

/** For so long that it is replaced. */
const isSilent = ({ siteId, silentMs }: Candidate, owner: SiteId, slice: number): boolean =>
  silentMs > REPLACED_SILENT_MS && silentMs > REPLACED_SILENT_MS + hashFraction(owner, siteId, slice) * DAY_MS;

/** From 0 and below 1: not everything of a silent holder moves at one moment. */
const hashFraction = (owner: SiteId, holder: SiteId, slice: number): number =>
  hash("sha256", `${owner} ${holder} ${slice}`, "buffer").readUInt32BE(0) / 2 ** 32;
