/** What people tell a site about its federation, done. */
import type { Clock } from "#ledger/clock.ts";
import { type JoinAnswer, askToJoin, joinProtocol } from "#ledger/join.ts";
import { joinWords } from "#ledger/join-words.ts";
import { type Invitation, formatInvitation, parseInvitation } from "#ledger/invitation.ts";
import { openLog } from "#ledger/entry.ts";
import type { Rng } from "#ledger/rng.ts";
import { encodeRoster, encodeRosterBody, parseRosterBody, signRosterBody } from "#ledger/roster.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { type FederationId, type SiteId, parseFederationId } from "#protocol/ids.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { requireSameWords } from "./compared-words.ts";
import type {
  AuditedHolder,
  CheckpointInit,
  FederationControl,
  FederationSummary,
  JoinInit,
  Member,
  NamedErasure,
  NamedWhatIf,
  WaitingNewcomer,
  Wished,
} from "./federation-control.ts";
import { KitService, type KitServiceComponents } from "./kit-service.ts";
import type { LeavingAsked } from "./leaving.ts";
import type { FederationStatus } from "./federation-status.ts";
import type { Federation } from "./federation.ts";
import type { Newcomer } from "./invitations.ts";
import { memberList } from "./member-list.ts";
import { reportWhatIf } from "./what-if-report.ts";
import { requireFederation, requireIn, requireMember } from "./required-role.ts";
import { chooseSite } from "./site-choice.ts";
import type { FederationSettings, SettingsChange } from "./settings.ts";

export interface FederationServiceComponents {
  readonly federation: Federation;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly status: () => Promise<FederationStatus>;
  readonly requestedKit: KitServiceComponents["requestedKit"];
}

export interface FederationServiceInit {
  readonly siteName: string;
  readonly peerSeed: Uint8Array;
}

const SALT_BYTES = 16;
/** How often it is looked whether what somebody waits for has come. */
const LOOK_EVERY_MS = 2_000;
/** Between two questions of a newcomer whether people have decided, which may take them days. */
const LEAST_ASK_MS = 2_000;
const MOST_ASK_MS = 30_000;
const ASK_GROWTH = 1.1;

export class FederationService implements FederationControl {
  readonly #components: FederationServiceComponents;
  readonly #init: FederationServiceInit;
  readonly kits: KitService;
  #isJoining = false;

  constructor(components: FederationServiceComponents, init: FederationServiceInit) {
    this.#components = components;
    this.#init = init;
    this.kits = new KitService(components);
  }

  get remoteRestores(): FederationControl["remoteRestores"] {
    return this.#components.federation.parts.remoteRestores;
  }

  get helpedRestores(): FederationControl["helpedRestores"] {
    return this.#components.federation.parts.helpedRestores;
  }

  async create(name: string): Promise<FederationSummary> {
    const { federation, rng } = this.#components;
    const { membership, ownLog } = federation.parts;
    this.#requireNone();
    const body = encodeRosterBody({
      ...{ name, salt: rng.bytes(SALT_BYTES), number: 0, previous: null, expelled: [] },
      members: [{ siteId: federation.siteId, inviter: null }],
    });
    const signature = signRosterBody(body, this.#init.peerSeed);
    const roster = encodeRoster(body, [{ certificate: ownLog.log.bytes, signature }]);
    await federation.startTransport();
    await membership.enter([roster], parseFederationId(parseRosterBody(body).hash));
    await federation.look();
    return this.#summary();
  }

  async invite(name: string, lifeMs?: number): Promise<{ invitation: string; expiresMs: number }> {
    const { federation } = this.#components;
    const { invitations, transport } = federation.parts;
    const federationId = requireMember(federation, "invite");
    const addresses = federation.ownAddresses();
    if (addresses.length === 0)
      throw new CostorError("bad-usage", "no address is known by which others reach this site: settings --announce");
    const { secret, expiresMs } = await invitations.issue(name, lifeMs);
    return {
      invitation: formatInvitation({ addresses, expiresMs, federationId, secret, peer: transport.self }),
      expiresMs,
    };
  }

  async join(text: string, init: JoinInit): Promise<FederationSummary> {
    const invitation = parseInvitation(text);
    this.#requireNone();
    if (this.#isJoining) throw new CostorError("federation-exists", "this site is joining a federation already");
    this.#isJoining = true;
    try {
      const { federation } = this.#components;
      const { membership, ledger, transport, sync, inviterAddress } = federation.parts;
      await federation.startTransport();
      const { rosters, inviter } = await this.#untilAccepted(invitation, init);
      const { peer, addresses } = invitation;
      const certificate = Buffer.from(inviter.bytes);
      await inviterAddress.keep({ peer, addresses: [...addresses], certificate });
      await membership.enter(rosters, invitation.federationId);
      // Who is at the other end of the invitation is known from here on; all others come with the ledger.
      await ledger.offer({ certificates: [certificate] });
      transport.membershipChanged();
      await sync.with(invitation.peer);
      await federation.look();
      return this.#summary();
    } finally {
      this.#isJoining = false;
    }
  }

  async #untilAccepted(invitation: Invitation, { signal, onWords }: JoinInit): Promise<JoinAnswer> {
    const { federation, clock } = this.#components;
    const { transport, ownLog } = federation.parts;
    const { peer, addresses } = invitation;
    let pauseMs = LEAST_ASK_MS;
    for (let isFirst = true; ; isFirst = false) {
      signal.throwIfAborted();
      try {
        const channel = await transport.dialStranger(peer, addresses, joinProtocol, signal);
        const init = { invitation, log: ownLog.log, name: this.#init.siteName, signal };
        const answer = await askToJoin(channel, init);
        if (answer.state === "refused")
          throw new CostorError("peer-refused", "the invitation was used, has expired, or people have refused it");
        if (isFirst) onWords({ words: answer.words, federationName: answer.federationName });
        if (answer.state === "accepted") return answer;
      } catch (error) {
        // Once the words are shown, a line that breaks is only waited out.
        if (isFirst || !isCostorError(error, "peer-unreachable")) throw error;
        // The other side's door is shut then.
        if (clock.now() > invitation.expiresMs)
          throw new CostorError("invitation-invalid", "it has expired, and nobody has confirmed the words", {
            cause: error,
          });
      }
      await clock.sleep(pauseMs, signal);
      pauseMs = Math.min(ASK_GROWTH * pauseMs, MOST_ASK_MS);
    }
  }

  newcomers(): readonly WaitingNewcomer[] {
    const federationId = requireFederation(this.#components.federation);
    return this.#components.federation.parts.invitations.waiting().map((newcomer) => ({
      site: newcomer.site,
      name: newcomer.name,
      words: this.#wordsOf(federationId, newcomer),
    }));
  }

  async confirm(text: string, words?: string): Promise<SiteId> {
    const { invitations, guests } = this.#components.federation.parts;
    const federationId = requireFederation(this.#components.federation);
    const newcomer = this.#newcomer(text);
    requireSameWords(words, this.#wordsOf(federationId, newcomer), "nobody was let in");
    // First the entry: a crash between leaves a newcomer to be confirmed again, and no guest unconfirmed.
    await guests.letIn(newcomer);
    await invitations.settle(newcomer.site, "accepted");
    return newcomer.site;
  }

  async refuse(text: string): Promise<SiteId> {
    requireFederation(this.#components.federation);
    const { site } = this.#newcomer(text);
    await this.#components.federation.parts.invitations.settle(site, "refused");
    return site;
  }

  members(): readonly Member[] {
    requireFederation(this.#components.federation);
    return memberList(this.#components.federation);
  }

  async wish(action: "admit" | "remove", text: string): Promise<Wished> {
    const { federation } = this.#components;
    const { wishes, guests } = federation.parts;
    requireMember(federation, "have a vote");
    const former = action === "admit" ? guests.former().map((site) => ({ site, name: "" })) : [];
    const siteId = chooseSite(text, [...this.members(), ...former]);
    if (action === "remove" && siteId === federation.siteId)
      throw new CostorError("bad-usage", "that is this site itself, which leaves by costor federation leave");
    const isGuest = action === "remove" && this.#roleOf(siteId) === "guest";
    if (isGuest) {
      await guests.letOut(siteId);
      await wishes.forget([siteId]);
    } else await this.#make(action, siteId);
    federation.rosterUpkeep.look();
    return { site: siteId, isDone: isGuest };
  }

  async #make(action: "admit" | "remove", siteId: SiteId): Promise<void> {
    const { parts, rosterUpkeep } = this.#components.federation;
    const heads = rosterUpkeep.headsOf(siteId);
    await parts.wishes.make(action === "admit" ? { action, siteId } : { action, siteId, heads });
  }

  async leave(how: "placed-elsewhere" | "now" | "stay", order?: Uint8Array): Promise<LeavingAsked> {
    const { federation } = this.#components;
    requireIn(federation);
    if (how === "stay") return federation.leaving.cancel();
    if (how === "placed-elsewhere") await federation.leaving.begin(order);
    else if (this.#roleOf(federation.siteId) === "guest") await federation.parts.guests.askOut();
    else {
      await federation.leaving.publishOrder();
      await this.#make("remove", federation.siteId);
      federation.rosterUpkeep.look();
    }
    return { leaving: federation.leaving.status() };
  }

  async erasures(): Promise<readonly NamedErasure[]> {
    requireFederation(this.#components.federation);
    const { erasures, profiles } = this.#components.federation.parts;
    await erasures.look();
    const named = (site: SiteId) => ({ site, name: profiles.of(site)?.name ?? "" });
    return [
      ...(await erasures.list()).map((receipt) => ({ ...named(receipt.holder), receipt })),
      ...erasures.waitingFor().map(named),
    ];
  }

  status(): Promise<FederationStatus> {
    requireFederation(this.#components.federation);
    return this.#components.status();
  }

  send(): void {
    requireIn(this.#components.federation);
    this.#components.federation.parts.replication.now();
  }

  async audit(signal: AbortSignal): Promise<readonly AuditedHolder[]> {
    requireIn(this.#components.federation);
    const { profiles, replication } = this.#components.federation.parts;
    const audits = await replication.audit(signal);
    return audits.map(({ holder, isReached, counts }) => ({
      ...{ site: holder, name: profiles.of(holder)?.name ?? "", isReached },
      ...(counts ?? { askedCount: 0, rightCount: 0, wrongCount: 0, silentCount: 0 }),
    }));
  }

  async checkpoint({ signal, wait, onProgress }: CheckpointInit): Promise<Checkpoint> {
    requireIn(this.#components.federation);
    const { federation, clock, status } = this.#components;
    const { checkpoints, replication } = federation.parts;
    const made = await checkpoints.make();
    replication.now();
    const current = (): Checkpoint => checkpoints.list().find(({ madeMs }) => madeMs === made.madeMs) ?? made;
    for (;;) {
      await checkpoints.look(signal);
      if (!wait || current().reachedMs !== undefined) return current();
      onProgress({ behindBytes: (await status()).behindBytes });
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  }

  whatIf(texts: readonly string[]): NamedWhatIf {
    requireFederation(this.#components.federation);
    const { membership, ledger, replication } = this.#components.federation.parts;
    const members = this.members();
    const burnt = new Set(texts.map((text) => chooseSite(text, members)));
    const { placement } = replication;
    return {
      ...reportWhatIf({ ledger, placement, sites: membership.sites() }, burnt),
      names: Object.fromEntries(members.map(({ site, name }) => [site, name])),
    };
  }

  async settings(change: SettingsChange): Promise<FederationSettings> {
    const { federation } = this.#components;
    const { settings } = federation.parts;
    if (Object.keys(change).length === 0) return settings.current;
    const changed = await settings.change(change);
    if (federation.parts.membership.roster !== undefined) {
      await federation.look();
      federation.parts.replication.soon();
    }
    return changed;
  }

  #summary(): FederationSummary {
    const { federation } = this.#components;
    const { membership } = federation.parts;
    const role = this.#roleOf(federation.siteId);
    return {
      federationId: requireFederation(this.#components.federation),
      name: membership.roster!.name,
      role: role === "member" ? "member" : "guest",
    };
  }

  #roleOf(site: SiteId) {
    return this.#components.federation.parts.membership.roleOf(site).role;
  }

  #wordsOf(federationId: FederationId, { certificate }: Newcomer): string[] {
    return joinWords(federationId, this.#components.federation.parts.ownLog.log, openLog(certificate));
  }

  #newcomer(text: string): Newcomer {
    const { invitations } = this.#components.federation.parts;
    const site = chooseSite(text, invitations.waiting());
    return invitations.waiting().find((newcomer) => newcomer.site === site)!;
  }

  #requireNone(): void {
    const { siteId, parts } = this.#components.federation;
    if (parts.membership.roster === undefined) return;
    const { role } = parts.membership.roleOf(siteId);
    const isIn = role === "member" || role === "guest";
    const reason = isIn
      ? "is in a federation already"
      : "has a federation, and is in it no more, until its members admit it again";
    throw new CostorError("federation-exists", `this site ${reason}`);
  }
}
