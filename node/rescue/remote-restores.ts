/** The remote restores that go on at this site: each for whoever has opened it, until that one ends it or its ticket expires. */
import type { Rng } from "#ledger/rng.ts";
import { REQUESTED_KEYS_PART } from "#node/federation/sealed-statements.ts";
import { sealedKeysOf } from "#node/federation/told-former-keys.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { RemoteRestore, hasEnded, type RemoteRestoreComponents, type RemoteRestoreInit } from "./remote-restore.ts";

/** What is known here of a site that may be restored, and what a ticket for this one has to name. */
export interface RestorableSite {
  readonly owner: SiteId;
  readonly name: string;
  /** Of its newest read key, as it has told the ledger; undefined when it never has. */
  readonly readKey?: { readonly generation: number; readonly publicKey: Buffer };
  /** What former kits open, sealed to the next read key, of a kit that the owner has asked for: maybe members have agreed since. */
  readonly requestedKeys?: Buffer;
  /** This machine. */
  readonly helper: PeerKey;
}

export interface RemoteRestoresComponents extends RemoteRestoreComponents {
  readonly rng: Rng;
  /** Snapshots that the owner received up to then have a whole copy elsewhere, by the ledger here. */
  readonly copiedUntilMs: (owner: SiteId) => number;
}

export class RemoteRestores {
  readonly #components: RemoteRestoresComponents;
  /** By a name that cannot be guessed. */
  readonly #open = new Map<string, RemoteRestore>();

  constructor(components: RemoteRestoresComponents) {
    this.#components = components;
  }

  /** Throws `member-unknown` when the ledger here has nothing of that site. */
  async find(owner: SiteId): Promise<RestorableSite> {
    const { ledger, peers } = this.#components;
    const profile = ledger.statement(owner, "profile", "")?.statement;
    if (profile === undefined && ledger.statements(owner, "snapshot").length === 0)
      throw new CostorError("member-unknown", `nothing of site ${owner} is known here`);
    const requestedKeys = await sealedKeysOf({ ledger }, owner, REQUESTED_KEYS_PART);
    return {
      ...{ owner, name: profile?.name ?? "", helper: peers.self },
      ...(requestedKeys && { requestedKeys }),
      ...(profile && { readKey: { generation: profile.readGeneration, publicKey: profile.readKey } }),
    };
  }

  /** The read keys are overwritten also when it fails. Throws as {@link RemoteRestore.open}, and `too-many-requests`. */
  async open(init: RemoteRestoreInit): Promise<{ name: string; restore: RemoteRestore }> {
    const restore = await this.#tryToOpen(init).catch((error: unknown) => {
      for (const key of init.readKeys) key.fill(0);
      throw error;
    });
    const name = this.#components.rng.bytes(NAME_BYTES).toString("hex");
    this.#open.set(name, restore);
    restore.signal.addEventListener("abort", () => this.#open.delete(name), { once: true });
    return { name, restore };
  }

  async #tryToOpen(init: RemoteRestoreInit): Promise<RemoteRestore> {
    if (this.#open.size >= limits.remoteRestoresCount)
      throw new CostorError("too-many-requests", `${this.#open.size} remote restores go on here already`);
    return RemoteRestore.open(this.#components, init);
  }

  /** Resolves when the ticket has expired, or when it is ended otherwise; it is closed then. */
  async untilEnd(restore: RemoteRestore, signal: AbortSignal): Promise<void> {
    const { clock } = this.#components;
    const either = AbortSignal.any([signal, restore.signal]);
    await clock.sleep(Math.max(0, restore.expiresMs - clock.now()), either).catch(() => undefined);
    await restore[Symbol.asyncDispose]();
  }

  /** Throws `not-found` for one that has ended. */
  of(name: string): RemoteRestore {
    const restore = this.#open.get(name);
    if (restore === undefined) throw hasEnded();
    return restore;
  }

  /** As `RescuedSite`, of what that one restores. */
  wholeUntilMs(name: string): number {
    return this.#components.copiedUntilMs(this.of(name).owner);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.values()].map((restore) => restore[Symbol.asyncDispose]()));
  }
}

const NAME_BYTES = 16;
