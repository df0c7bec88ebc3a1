/** What people can tell a site about its federation, and what they are told: the one door of commands and API. */
import type { WhatIf } from "#ledger/what-if.ts";
import type { RemoteRestores } from "#node/rescue/remote-restores.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import type { Checkpoint } from "./checkpoints.ts";
import type { FederationStatus } from "./federation-status.ts";
import type { HelpedRestores } from "./helped-restores.ts";
import type { KeptErasure } from "./erasures.ts";
import type { KitService } from "./kit-service.ts";
import type { LeavingAsked } from "./leaving.ts";
import type { FederationSettings, SettingsChange } from "./settings.ts";

export interface FederationSummary {
  readonly federationId: string;
  readonly name: string;
  readonly role: "member" | "guest";
}

export interface WaitingNewcomer {
  readonly site: SiteId;
  readonly name: string;
  /** Eight: read out by the newcomer's people and compared. */
  readonly words: readonly string[];
}

export interface Member {
  readonly site: SiteId;
  /** From its profile; empty before there is one. */
  readonly name: string;
  readonly role: "member" | "guest" | "expelled";
  readonly inviter?: SiteId;
  readonly isThisSite: boolean;
  readonly isConnected: boolean;
  readonly place: string;
  /** Multiaddr texts, from its profile. */
  readonly addresses: readonly string[];
  /** How many recovery kits it has had, as far as is known here: each but the first replaced one. */
  readonly kitNumber: number;
  /** Of its machine, as far as it is known. */
  readonly peer?: PeerKey;
  /** A change that people here wish, and that not enough others wish yet. */
  readonly wish?: "admit" | "remove";
}

export interface Wished {
  readonly site: SiteId;
  /** It is so already: no others have a say in it. */
  readonly isDone: boolean;
}

/** What a holder answered when it was asked for primes of this site, drawn by chance. */
export interface AuditedHolder {
  readonly site: SiteId;
  readonly name: string;
  readonly isReached: boolean;
  /** 0 when nothing was asked: it is not reached, or has given no receipt for what there is now. */
  readonly askedCount: number;
  readonly rightCount: number;
  readonly wrongCount: number;
  /** Without an answer in time. */
  readonly silentCount: number;
}

/** With the names of all sites in it. */
export interface NamedWhatIf extends WhatIf {
  readonly names: Readonly<Record<SiteId, string>>;
}

export interface NamedErasure {
  readonly site: SiteId;
  readonly name: string;
  /** Undefined while it is waited for. */
  readonly receipt?: KeptErasure;
}

export interface CheckpointInit {
  readonly signal: AbortSignal;
  /** Whether to resolve only once it is reached. */
  readonly wait: boolean;
  onProgress(progress: { readonly behindBytes: number }): void;
}

export interface JoinInit {
  readonly signal: AbortSignal;
  /** Called once, when the words are known: people compare them, and the inviter's confirm. */
  onWords(progress: { readonly words: readonly string[]; readonly federationName: string }): void;
}

/** Wherever a site is named, its SiteId, the beginning of it (8 digits or more), or its name, is meant. */
export interface FederationControl {
  /** Throws `federation-exists`. */
  create(name: string): Promise<FederationSummary>;
  /** Throws `not-in-federation` for who is no member too, `too-many-requests`, `bad-usage`. */
  invite(name: string, lifeMs?: number): Promise<{ invitation: string; expiresMs: number }>;
  /** Ends when the inviter has confirmed. Throws `federation-exists`, `invitation-invalid`, `peer-unreachable`, `peer-refused`. */
  join(invitation: string, init: JoinInit): Promise<FederationSummary>;
  newcomers(): readonly WaitingNewcomer[];
  /** With `words`, only if they are the right ones: `words-differ`. Throws `member-unknown`; `limit-exceeded` with as many guests as there may be; `bad-usage` for who was a member. */
  confirm(site: string, words?: string): Promise<SiteId>;
  refuse(site: string): Promise<SiteId>;
  members(): readonly Member[];
  /**
   * What more than half of the members wish comes about; a guest of this site's own is removed at once, and one of another's is not: `bad-usage`. Throws
   * `member-unknown`, `not-in-federation`, `ledger-waiting`.
   */
  wish(change: "admit" | "remove", site: string): Promise<Wished>;
  /**
   * Once what is held here for others is placed elsewhere, or now, or not after all. With an order to erase, which the kit has signed, also once whoever
   * holds something of this site has erased it. Resolves with how far it is, and of one that stays with whether it had an order. Throws `not-in-federation` when it is out already too, `ledger-waiting`, `kit-of-another-site`.
   */
  leave(how: "placed-elsewhere" | "now" | "stay", eraseOrder?: Uint8Array): Promise<LeavingAsked>;
  /** Who has signed that he has erased this site's copies, and who is still to. Also when it has left. Throws `not-in-federation`. */
  erasures(): Promise<readonly NamedErasure[]>;
  status(): Promise<FederationStatus>;
  /** Sends what is new at once, within the window. Throws `not-in-federation`. */
  send(): void;
  /** Audits each holder now, not in the night. Throws `not-in-federation`, and the signal's reason. */
  audit(signal: AbortSignal): Promise<readonly AuditedHolder[]>;
  /** Marks now, and sends what is new. Throws `not-in-federation`, and the signal's reason. */
  checkpoint(init: CheckpointInit): Promise<Checkpoint>;
  /** If these sites burn: what comes back, from whom, how fast. Throws `member-unknown`, `not-in-federation`. */
  whatIf(sites: readonly string[]): NamedWhatIf;
  /** Restores of this site at others, by its kit. */
  readonly helpedRestores: HelpedRestores;
  /** Kits that are lost. */
  readonly kits: KitService;
  /** Restores of other sites that are gone, by their kits. */
  readonly remoteRestores: RemoteRestores;
  settings(change: SettingsChange): Promise<FederationSettings>;
}
