/**
 * Remote restores of this site's backups at other sites, by its recovery kit: what those sites have told the ledger, and which of them people
 * here know of. docs/specs/replication.md, Fetching
 */
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { SiteProfiles } from "./site-profiles.ts";

export interface HelpedRestore {
  readonly helper: SiteId;
  /** Of the helper. */
  readonly name: string;
  /** 32 hex digits. */
  readonly ticket: string;
  readonly sinceMs: number;
  /** While it goes on, when its ticket expires. */
  readonly untilMs: number;
  readonly primesCount: number;
  readonly bytes: number;
  /** People here have said that it was one of them. */
  readonly isKnown: boolean;
  /** The helper has seen the read key that this site has now. */
  readonly hasPresentKey: boolean;
}

export interface HelpedRestoreComponents {
  readonly store: Pick<PrimeStore, "facts" | "appendFacts">;
  readonly ledger: Pick<Ledger, "statements">;
  readonly membership: Pick<Membership, "sites">;
  readonly profiles: Pick<SiteProfiles, "nameOf">;
}

const KIND = "known-restore";

export class HelpedRestores {
  readonly #components: HelpedRestoreComponents;
  readonly #init: { readonly self: SiteId; readonly readGeneration: number };
  /** By helper and ticket. */
  readonly #known: Set<string>;

  private constructor(
    components: HelpedRestoreComponents,
    init: { readonly self: SiteId; readonly readGeneration: number },
    known: Set<string>,
  ) {
    this.#components = components;
    this.#init = init;
    this.#known = known;
  }

  static async open(
    components: HelpedRestoreComponents,
    init: { readonly self: SiteId; readonly readGeneration: number },
  ): Promise<HelpedRestores> {
    const known = new Set<string>();
    for await (const { key } of components.store.facts(KIND)) known.add(key);
    return new HelpedRestores(components, init, known);
  }

  /** The newest first. */
  list(): HelpedRestore[] {
    const { ledger, membership, profiles } = this.#components;
    const { self, readGeneration } = this.#init;
    return membership
      .sites()
      .flatMap((helper) =>
        ledger.statements(helper, "helped").flatMap(({ statement }): HelpedRestore[] => {
          if (statement.owner !== self) return [];
          const { sinceMs, untilMs, primesCount, bytes } = statement;
          const ticket = statement.ticket.toString("hex");
          return [
            {
              ...{ helper, name: profiles.nameOf(helper), ticket },
              ...{ sinceMs, untilMs, primesCount, bytes },
              isKnown: this.#known.has(keyOf({ helper, ticket })),
              hasPresentKey: statement.readGeneration >= readGeneration,
            },
          ];
        }),
      )
      .toSorted((one, other) => other.sinceMs - one.sinceMs);
  }

  /**
   * People say that these were some of them; the beginning of a ticket is enough, if it is of one. All are durable when it resolves, none is known
   * when it throws `not-found`, `bad-usage`.
   */
  async settle(tickets: readonly string[]): Promise<readonly HelpedRestore[]> {
    const found = tickets.map((ticket) => this.#find(ticket));
    const keys = [...new Set(found.map(keyOf))];
    await this.#components.store.appendFacts(keys.map((key) => ({ kind: KIND, key, value: encodeCbor({}) })));
    for (const key of keys) this.#known.add(key);
    return found.map((restore) => ({ ...restore, isKnown: true }));
  }

  #find(ticket: string): HelpedRestore {
    const [found, ...others] = this.list().filter((restore) => restore.ticket.startsWith(ticket.toLowerCase()));
    if (found === undefined) throw new CostorError("not-found", `no site has told of a restore by ticket ${ticket}`);
    if (others.length > 0) throw new CostorError("bad-usage", `several tickets begin with ${ticket}: give more of it`);
    return found;
  }
}

const keyOf = ({ helper, ticket }: Pick<HelpedRestore, "helper" | "ticket">): string => `${helper}/${ticket}`;
