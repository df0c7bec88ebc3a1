/** Which restore tickets count at this holder. docs/specs/replication.md, Fetching */
import type { Clock } from "#ledger/clock.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type RestoreTicket, type SignedTicket, parseRestoreTicket } from "#protocol/restore-ticket.ts";
import type { LedgerReader } from "./replication-ports.ts";

export interface TicketComponents {
  readonly ledger: Pick<LedgerReader, "recoveryKeys">;
  readonly clock: Pick<Clock, "now">;
  /** Told once of each ticket that is used here. */
  readonly onUsed?: ((ticket: RestoreTicket) => void) | undefined;
}

export class Tickets {
  readonly #components: TicketComponents;
  readonly #used = new RememberedIds();
  readonly #cancelled = new RememberedIds();

  constructor(components: TicketComponents) {
    this.#components = components;
  }

  /**
   * Throws `peer-refused` unless it lets this peer have that owner's primes now, and what is no ticket at all as
   * {@link parseRestoreTicket} does.
   */
  check(bytes: Uint8Array, owner: SiteId, peer: PeerKey): void {
    const ticket = parseRestoreTicket(bytes);
    const refuse = (why: string): never => {
      throw new CostorError("peer-refused", `the ticket does not count here: ${why}`);
    };
    if (ticket.siteId !== owner) refuse("it is another owner's");
    if (ticket.peer !== peer) refuse("it is for another site");
    requireNewestKey(this.#components.ledger, ticket);
    const leftMs = ticket.expiresMs - this.#components.clock.now();
    if (leftMs < -limits.restoreTicketToleranceMs) refuse("by this site's clock it has expired");
    if (leftMs > limits.restoreTicketLifeMs + limits.restoreTicketToleranceMs)
      refuse("by this site's clock it is good for too long");
    if (this.#cancelled.has(ticket)) refuse("it was cancelled");
    if (this.#used.add(ticket)) this.#components.onUsed?.(ticket);
  }

  /** From the peer that it names. Throws `peer-refused` for any other. */
  cancel(bytes: Uint8Array, peer: PeerKey): void {
    const ticket = parseRestoreTicket(bytes);
    if (ticket.peer !== peer) throw new CostorError("peer-refused", "the ticket is for another site");
    this.#cancelled.add(ticket);
  }
}

/** Throws `signature-invalid` unless the site's newest recovery key has signed it: a kit that was replaced gives no tickets. */
export function requireNewestKey(
  ledger: Pick<LedgerReader, "recoveryKeys">,
  { siteId, recoveryKey }: Pick<SignedTicket, "siteId" | "recoveryKey">,
): void {
  if (!ledger.recoveryKeys.isNewest(siteId, recoveryKey))
    throw new CostorError("signature-invalid", `the ticket is not signed by the recovery key of site ${siteId}`);
}

/** The newest of them, by owner and id: only who has the owner's kit makes any. */
class RememberedIds {
  readonly #names = new Set<string>();

  has({ siteId, id }: RestoreTicket): boolean {
    return this.#names.has(`${siteId}/${id.toString("hex")}`);
  }

  /** Whether it is new. */
  add(ticket: RestoreTicket): boolean {
    if (this.has(ticket)) return false;
    this.#names.add(`${ticket.siteId}/${ticket.id.toString("hex")}`);
    const [oldest] = this.#names;
    if (this.#names.size > limits.restoreTicketsCount) this.#names.delete(oldest!);
    return true;
  }
}
