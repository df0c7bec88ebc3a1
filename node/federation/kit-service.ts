/** What people tell a site about kits that are lost: its own, or another member's. docs/specs/membership.md, "A lost kit" */
import { doesStand } from "#ledger/kit-requests.ts";
import { kitWords } from "#ledger/join-words.ts";
import type { Clock } from "#ledger/clock.ts";
import { logsOfKey } from "#node/site/kit-replacement.ts";
import type { RequestedKitFiles } from "#node/site/requested-kit.ts";
import { CostorError } from "#protocol/errors.ts";
import type { FederationId, LogId, SiteId } from "#protocol/ids.ts";
import { type KitObjection, isKitObjection } from "#protocol/kit-objection.ts";
import { fingerprintOf } from "#protocol/keys.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { sealToReadKey } from "#protocol/read-sealing.ts";
import { requireSameWords } from "./compared-words.ts";
import type { Federation } from "./federation.ts";
import { hasAgreedKit } from "./kit-alarms.ts";
import type { SeenKitRequest } from "./kit-requests.ts";
import { requireFederation, requireMember } from "./required-role.ts";
import { REQUESTED_KEYS_PART, sealedContext } from "./sealed-statements.ts";
import { chooseSite } from "./site-choice.ts";

/** A request as people are shown it. */
export interface AskedKit {
  readonly site: SiteId;
  readonly name: string;
  readonly isThisSite: boolean;
  /** Eight: read out by the site's people and compared. */
  readonly words: readonly string[];
  /** Of the new key. */
  readonly fingerprint: string;
  /** SHA-256 of the body of the link: what an objection names. */
  readonly link: string;
  readonly approvedBy: readonly SiteId[];
  readonly neededCount: number;
  readonly isApprovedHere: boolean;
  /** Somebody with the former kit has ended it. */
  readonly isObjected: boolean;
  /** From when on the new key counts; undefined until enough members approve. */
  readonly dueMs?: number;
}

export interface KitServiceComponents {
  readonly federation: Federation;
  readonly clock: Pick<Clock, "now">;
  readonly requestedKit: Pick<RequestedKitFiles, "read" | "remove">;
}

export class KitService {
  readonly #components: KitServiceComponents;

  constructor(components: KitServiceComponents) {
    this.#components = components;
  }

  /** Throws `not-in-federation`. */
  list(): readonly AskedKit[] {
    const federationId = requireFederation(this.#components.federation);
    return this.#components.federation.parts.kitRequests.list().map((request) => this.#shown(federationId, request));
  }

  /** With `words`, only if they are the right ones: `words-differ`. Throws `member-unknown`, `not-in-federation`. */
  async approve(text: string, words?: string): Promise<AskedKit> {
    this.#requireVote();
    const asked = this.#choose(text);
    if (asked.isThisSite) throw new CostorError("bad-usage", "others approve; this site asks");
    if (asked.isObjected)
      throw new CostorError("bad-usage", "somebody with the former kit has objected; this request is over");
    requireSameWords(words, asked.words, "nothing was approved");
    const link = Buffer.from(asked.link, "hex");
    await this.#parts.entries.write({ kind: "kit-approval", site: asked.site, link });
    return this.#looked(asked.site);
  }

  /** Takes an approval back. Throws `member-unknown`, `not-in-federation`. */
  async disapprove(text: string): Promise<AskedKit> {
    const { site } = this.#choose(text);
    await this.#parts.entries.withdraw("kit-approval", site);
    return this.#looked(site);
  }

  /** Which of its logs a link of this site has to name. Throws `not-in-federation`, `ledger-refused`, `kit-agreed`. */
  async logs(): Promise<readonly LogId[]> {
    this.#requireVote();
    this.#requireOpen();
    const { ownLog, ledgerStore } = this.#parts;
    const { bytes, certificate } = ownLog.log;
    return logsOfKey({ siteId: certificate.siteId, epochCertificate: bytes }, ledgerStore);
  }

  /** Asks for the kit that lies ready. Throws `not-found`, `not-in-federation`, `ledger-waiting`, `ledger-refused`, `kit-agreed`. */
  async ask(): Promise<AskedKit> {
    this.#requireVote();
    this.#requireOpen();
    const { siteId } = this.#components.federation;
    const { link, readPrivateKey, formerKeysState } = await this.#components.requestedKit.read();
    const place = { kind: "state", part: REQUESTED_KEYS_PART } as const;
    const readKey = publicKeyOf("x25519", readPrivateKey);
    const sealed = Buffer.from(await sealToReadKey(formerKeysState, readKey, sealedContext(siteId, place)));
    // First what the new kit needs: a server may burn at any moment.
    await this.#parts.entries.write({ ...place, sealed });
    await this.#parts.entries.write({ kind: "kit-request", link: Buffer.from(link.bytes) });
    return this.#looked(siteId);
  }

  /** Asks no more. Throws `kit-agreed`. */
  async cancel(): Promise<void> {
    requireFederation(this.#components.federation);
    this.#requireOpen();
    await this.#parts.entries.withdraw("kit-request", "");
    await this.#parts.entries.withdraw("state", REQUESTED_KEYS_PART);
    await this.#components.requestedKit.remove();
    await this.#components.federation.lookAtKits();
  }

  /** Passes on what somebody has signed with the site's kit. Throws `member-unknown`, `kit-of-another-site`, `not-in-federation`. */
  async object(site: SiteId, objection: KitObjection): Promise<AskedKit> {
    const { link } = this.#choose(site);
    const { ledger, entries } = this.#parts;
    if (!ledger.recoveryKeys.isNewest(site, objection.key) || !isKitObjection(link, objection))
      throw new CostorError("kit-of-another-site", "it is not signed by the recovery key that this site has now");
    await entries.write({ kind: "kit-objection", site, link: Buffer.from(link, "hex"), ...objection });
    return this.#looked(site);
  }

  get #parts(): Federation["parts"] {
    return this.#components.federation.parts;
  }

  #choose(text: string): AskedKit {
    const asked = this.list();
    const site = chooseSite(text, asked);
    return asked.find((one) => one.site === site)!;
  }

  async #looked(site: SiteId): Promise<AskedKit> {
    await this.#components.federation.lookAtKits();
    return this.#choose(site);
  }

  #shown(federationId: FederationId, request: SeenKitRequest): AskedKit {
    const { federation, clock } = this.#components;
    const { siteId: site, link, approvers, neededCount, isObjected, leftMs } = request;
    return {
      site,
      name: this.#parts.profiles.of(site)?.name ?? "",
      isThisSite: site === federation.siteId,
      words: kitWords(federationId, link),
      fingerprint: fingerprintOf(link.key),
      link: link.hash,
      approvedBy: approvers,
      neededCount,
      isApprovedHere: approvers.includes(federation.siteId),
      isObjected,
      ...(doesStand(request) && leftMs !== undefined ? { dueMs: clock.now() + leftMs } : {}),
    };
  }

  /** From the end of the lock on nobody but the new kit may have the site's key: what lies ready for it is all that there is. */
  #requireOpen(): void {
    const { ledger, ownLog, kitRequests } = this.#parts;
    const { siteId } = ownLog.log.certificate;
    if (hasAgreedKit(ledger, ownLog.log))
      throw new CostorError("kit-agreed", "the members have agreed on the kit that this site has asked for");
    if (kitRequests.list().some((request) => request.siteId === siteId && doesStand(request) && request.leftMs === 0))
      throw new CostorError(
        "kit-agreed",
        "the time to object is over, and the members are about to agree; whoever has the former kit can still end it: costor site kit object",
      );
  }

  #requireVote(): void {
    requireMember(this.#components.federation, "have a vote, or a key that others vote about");
  }
}
