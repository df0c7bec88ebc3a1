/**
 * One remote restore: a site that is gone, read at this one by its recovery kit. Of the kit there are here a ticket and read keys, in
 * memory, until it is closed. docs/specs/replication.md, Fetching
 */
import type { Clock } from "#ledger/clock.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Peers } from "#ledger/peers.ts";
import type { StatementOf } from "#ledger/statements.ts";
import type { OwnEntries, Sites } from "#node/replication/replication-ports.ts";
import { toldFormerKeys } from "#node/federation/told-former-keys.ts";
import { requireNewestKey } from "#node/replication/tickets.ts";
import { privateKeysOf } from "#node/site/former-keys.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SiteId, SnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type RestoreTicket, parseRestoreTicket } from "#protocol/restore-ticket.ts";
import { PrimeGathering } from "./prime-gathering.ts";
import type { RescuedSite } from "./rescued-site.ts";
import { RescuedSnapshots } from "./rescued-snapshots.ts";
import { openSealedFacts } from "./sealed-facts.ts";

export interface RemoteRestoreComponents {
  readonly self: SiteId;
  readonly clock: Clock;
  readonly peers: Pick<Peers, "self" | "open" | "connected">;
  readonly sites: Pick<Sites, "sites" | "peerOf">;
  readonly ledger: Pick<
    Ledger,
    "recoveryKeys" | "statement" | "statements" | "wholeStatements" | "currentLog" | "forkOf" | "entry" | "offer"
  >;
  readonly store: Pick<PrimeStore, "hasKept" | "get">;
  readonly entries: Pick<OwnEntries, "write">;
  readonly onEvent: (event: RemoteRestoreEvent) => void;
}

export type RemoteRestoreEvent =
  | { readonly event: "helping"; readonly owner: SiteId; readonly ticket: string }
  | {
      readonly event: "helped";
      readonly owner: SiteId;
      readonly ticket: string;
      readonly primesCount: number;
      readonly bytes: number;
    }
  | { readonly event: "holder-failed"; readonly holder: SiteId; readonly error: unknown }
  | { readonly event: "put-off"; readonly what: string; readonly error: unknown };

export interface RemoteRestoreInit {
  /** As the owner's recovery key has signed it. */
  readonly ticket: Uint8Array;
  /** X25519 private keys by generation, from the first; overwritten at the end. */
  readonly readKeys: readonly Uint8Array[];
}

/** A holder that did not do its part. */
export interface HolderFailure {
  readonly holder: SiteId;
  readonly code: string;
  readonly message: string;
}

const CANCEL_MS = 5_000;

/** What who goes on with one is told: its day is over, or its site has stopped meanwhile. */
export const hasEnded = (): CostorError =>
  new CostorError(
    "not-found",
    "this remote restore has ended, as each does after a day, and when the site here stops: give the same command with --overwrite if-changed added, and it goes on; an archive is begun anew, in parts by --path where a day is too short",
  );

export class RemoteRestore implements RescuedSite {
  readonly isVerified = true;
  readonly owner: SiteId;
  readonly expiresMs: number;
  readonly #components: RemoteRestoreComponents;
  readonly #init: RemoteRestoreInit;
  readonly #ticket: RestoreTicket;
  readonly #end = new AbortController();
  readonly #gathering: PrimeGathering;
  readonly #failures = new Map<SiteId, HolderFailure>();
  readonly #sinceMs: number;
  #snapshots: RescuedSnapshots | undefined;
  /** Of kits that the owner has replaced. */
  #formerKeys: readonly Uint8Array[] = [];

  private constructor(components: RemoteRestoreComponents, init: RemoteRestoreInit, ticket: RestoreTicket) {
    const { clock, onEvent } = components;
    this.#components = components;
    this.#init = init;
    this.#ticket = ticket;
    this.owner = ticket.siteId;
    this.#sinceMs = clock.now();
    this.expiresMs = Math.min(ticket.expiresMs, this.#sinceMs + limits.restoreTicketLifeMs);
    const onFailure = (holder: SiteId, error: unknown): void => {
      const { code = "internal", message } = error as { code?: string; message: string };
      this.#failures.set(holder, { holder, code, message });
      onEvent({ event: "holder-failed", holder, error });
    };
    const gathering = { owner: this.owner, proof: { ticket: init.ticket }, signal: this.#end.signal };
    this.#gathering = new PrimeGathering({ ...components, onFailure }, gathering);
  }

  /**
   * The ledger is told before anything is read. Takes over the read keys. Throws `signature-invalid`, `peer-refused` for a ticket that is
   * not for this site now, `nothing-of-site` when the ledger has no snapshot of the owner that the keys open.
   */
  static async open(components: RemoteRestoreComponents, init: RemoteRestoreInit): Promise<RemoteRestore> {
    const { peers, clock, ledger } = components;
    const ticket = parseRestoreTicket(init.ticket);
    if (ticket.peer !== peers.self)
      throw new CostorError("peer-refused", "the ticket is for another site than this one");
    requireNewestKey(ledger, ticket);
    if (ticket.expiresMs <= clock.now()) throw new CostorError("peer-refused", "the ticket has expired");
    const restore = new RemoteRestore(components, init, ticket);
    try {
      components.onEvent({ event: "helping", owner: restore.owner, ticket: restore.#ticketText });
      await restore.#tell(ticket.expiresMs);
      const former = await toldFormerKeys({ ledger }, { siteId: restore.owner, readKeys: init.readKeys });
      restore.#formerKeys = privateKeysOf(former);
      const readKeys = [...init.readKeys, ...restore.#formerKeys];
      const keys = { siteId: restore.owner, readKeys, signal: restore.#end.signal };
      const snapshots = new RescuedSnapshots({ facts: await openSealedFacts({ ledger }, keys) }, keys);
      if (!(await snapshots.opensAny()))
        throw new CostorError("nothing-of-site", "the ledger here has no snapshot of that site that the kit opens");
      restore.#snapshots = snapshots;
      return restore;
    } catch (error) {
      await restore[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #ticketText(): string {
    return this.#ticket.id.toString("hex");
  }

  agents(): ReturnType<RescuedSite["agents"]> {
    return this.#snapshots!.agents();
  }

  snapshots(agent: AgentId): ReturnType<RescuedSite["snapshots"]> {
    return this.#snapshots!.snapshots(agent);
  }

  snapshot(agent: AgentId, snapshot: SnapshotId): ReturnType<RescuedSite["snapshot"]> {
    return this.#snapshots!.snapshot(agent, snapshot);
  }

  readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncGenerator<StoredPrime> {
    return this.#gathering.readPrimes(ids, signal);
  }

  /** Of each holder the newest. */
  failures(): HolderFailure[] {
    return [...this.#failures.values()];
  }

  /** When it is closed, by whomever. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Ends what is under way, takes the ticket back where it was used, forgets the keys, and tells the ledger. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end.signal.aborted) return;
    this.#end.abort(hasEnded());
    this.#gathering.close();
    const { clock, onEvent } = this.#components;
    const { primesCount, bytes } = this.#gathering.totals;
    onEvent({ event: "helped", owner: this.owner, ticket: this.#ticketText, primesCount, bytes });
    const late = new AbortController();
    const done = new AbortController();
    void clock.sleep(CANCEL_MS, done.signal).then(
      () => late.abort(),
      () => undefined,
    );
    await this.#gathering.cancel(late.signal);
    done.abort();
    await this.#tell(clock.now());
    for (const key of [...this.#init.readKeys, ...this.#formerKeys]) key.fill(0);
  }

  async #tell(untilMs: number): Promise<void> {
    const { entries, onEvent } = this.#components;
    const helped: StatementOf<"helped"> = {
      kind: "helped",
      owner: this.owner,
      ticket: this.#ticket.id,
      readGeneration: this.#init.readKeys.length,
      sinceMs: this.#sinceMs,
      untilMs,
      ...this.#gathering.totals,
    };
    try {
      await entries.write(helped);
    } catch (error) {
      // People need their files now; the log has it, and the end is told again.
      onEvent({ event: "put-off", what: "what the ledger is told of a remote restore", error });
    }
  }
}
