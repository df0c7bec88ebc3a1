/** Keeps what this site says of itself true: name, addresses, place, room for others, read key. */
import type { Ledger } from "#ledger/ledger.ts";
import type { StatementOf } from "#ledger/statements.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { OwnEntries } from "./own-entries.ts";

type Profile = StatementOf<"profile">;

export interface ProfileUpkeepComponents {
  readonly ledger: Pick<Ledger, "statement">;
  readonly entries: Pick<OwnEntries, "write">;
  /** How it is now. */
  readonly read: () => Promise<Omit<Profile, "kind">>;
  readonly onFailure: (error: unknown) => void;
}

/** Bytes are told again when they moved by so much: entries are for ever. */
const WORTH_TELLING_RATIO = 0.1;

export class ProfileUpkeep {
  readonly #components: ProfileUpkeepComponents;
  readonly #siteId: SiteId;
  readonly #queue = new SerialQueue();

  constructor(components: ProfileUpkeepComponents, { siteId }: { siteId: SiteId }) {
    this.#components = components;
    this.#siteId = siteId;
  }

  /** Writes an entry when what the ledger says is not so any more. */
  look(): Promise<void> {
    return this.#queue
      .run(async () => {
        const { ledger, entries, read } = this.#components;
        const now = await read();
        const profile: Profile = {
          kind: "profile",
          ...now,
          addresses: now.addresses.slice(0, limits.ledgerAddressesCount),
        };
        const told = ledger.statement(this.#siteId, "profile", "")?.statement;
        if (told === undefined || isWorthTelling(told, profile)) await entries.write(profile);
      })
      .catch(this.#components.onFailure);
  }
}

function isWorthTelling(told: Profile, now: Profile): boolean {
  const textOf = ({ name, addresses, domain, readKey, readGeneration }: Profile): string =>
    JSON.stringify([name, addresses, domain, readKey.toString("hex"), readGeneration]);
  const hasMoved = (one: number, other: number): boolean =>
    Math.abs(one - other) > WORTH_TELLING_RATIO * Math.max(told.offeredBytes, now.offeredBytes);
  return (
    textOf(told) !== textOf(now) ||
    hasMoved(told.offeredBytes, now.offeredBytes) ||
    hasMoved(told.keptBytes, now.keptBytes)
  );
}
