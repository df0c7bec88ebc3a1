/**
 * The people of simulated sites: they invite, let in, expel and leave, by what sites offer them for it. What they have decided
 * they say again, wherever a site is up, until it is so.
 */
import { majorityOf } from "#ledger/roster-chain.ts";
import type { FederationControl } from "#node/federation/federation-control.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { EventLog } from "./event-log.ts";
import type { FaultKind } from "./fault-plan.ts";
import type { SeededRng } from "./seeded-rng.ts";
import type { SimSite } from "./sim-site.ts";
import type { VirtualTime } from "./virtual-time.ts";

const MINUTE_MS = 60 * 1000;
const HOUR_MS = 60 * MINUTE_MS;
const SAY_EVERY_MS = 30 * MINUTE_MS;
/** In which one side reads the words to the other. */
const MOST_WORDS_MS = 10 * MINUTE_MS;
const MOST_GUEST_MS = 6 * HOUR_MS;
const MOST_JOIN_MS = 3 * HOUR_MS;
/** Fewer members than these nobody makes: copies need other places. */
const LEAST_MEMBERS_COUNT = 4;

export interface PeopleComponents {
  readonly time: VirtualTime;
  readonly rng: SeededRng;
  readonly log: EventLog;
  readonly honest: readonly SimSite[];
  /** Errors that are the program's own fault. */
  readonly onFault: (error: unknown) => void;
  readonly onDone: (kind: FaultKind) => void;
  /** A newcomer is in the federation. */
  readonly onJoined: (site: SimSite) => void;
}

interface Decision {
  readonly kind: FaultKind;
  readonly action: "admit" | "remove";
  readonly site: SimSite;
}

export class People {
  readonly #components: PeopleComponents;
  readonly #decisions = new Set<Decision>();
  readonly #joining = new Set<FederationControl>();
  /** Those that have invited newcomers who are not members yet, and guests by them: nobody has them go before. */
  readonly #inviters = new Map<SimSite, Set<SimSite>>();

  constructor(components: PeopleComponents) {
    this.#components = components;
  }

  /** A site that was not there before wants to be in. */
  invite(newcomer: SimSite): boolean {
    if (newcomer.hasBegun || this.#members().length === 0) return false;
    void newcomer.start();
    this.#letIn(newcomer);
    return true;
  }

  /** Whether a newcomer is not a member yet whom it has invited: whether it is let in stands in this site's log alone. */
  isInviting(site: SimSite): boolean {
    return [...this.#inviters.values()].some((inviters) => inviters.has(site));
  }

  /** Whether others want it out, or its own people do. */
  remove(site: SimSite, kind: "expel" | "leave"): boolean {
    const staying = this.#members().filter((member) => member !== site);
    if (this.isInviting(site) || site.isLeaving || !this.#isMember(site) || staying.length < LEAST_MEMBERS_COUNT)
      return false;
    site.leavingSinceMs = this.#components.time.elapsedMs;
    this.#decide({ kind, action: "remove", site });
    return true;
  }

  /**
   * Whether somebody knows it as a member. A newcomer may wait for long for one who can let it in, and a guest stands for no place of its own.
   * Where nobody is told anything, all are members from the beginning.
   */
  isKnownMember(site: SimSite): boolean {
    const controls = this.#components.honest.flatMap(({ control }) => control ?? []);
    return controls.length === 0
      ? site.hasBegun
      : controls.some((control) => this.#roleOf(control, site)?.role === "member");
  }

  /** Whether the others are so many of the members that they can bring about what people decide. Who was cloned signs nothing. */
  canDecideWithout(site: SimSite): boolean {
    const { honest } = this.#components;
    const told = this.#members().find((member) => member !== site)?.control;
    if (told === undefined) return false;
    const members = new Set(told.members().flatMap((member) => (member.role === "member" ? [member.site] : [])));
    const signing = honest.filter(
      (other) => other !== site && !other.isCloned && !other.isLeaving && members.has(other.identity.siteId),
    );
    return signing.length >= majorityOf(members.size);
  }

  #letIn(newcomer: SimSite): void {
    const { time, onJoined } = this.#components;
    const { control } = newcomer;
    if (control && this.#roleOf(control, newcomer) !== undefined) {
      onJoined(newcomer);
      this.#after(MOST_GUEST_MS, () => this.#decide({ kind: "join", action: "admit", site: newcomer }));
      return;
    }
    if (control && !this.#joining.has(control)) {
      this.#joining.add(control);
      void this.#attempt(() => this.#join(newcomer, control)).then(() => this.#joining.delete(control));
    }
    time.after(SAY_EVERY_MS, () => this.#letIn(newcomer));
  }

  async #join(newcomer: SimSite, control: FederationControl): Promise<void> {
    const { rng, time } = this.#components;
    // A site that was cloned says so to its people.
    const members = this.#members().filter(({ isCloned }) => !isCloned);
    if (members.length === 0) return;
    const inviter = rng.pick(members);
    const inviters = this.#inviters.get(newcomer) ?? new Set();
    this.#inviters.set(newcomer, inviters.add(inviter));
    const ending = new AbortController();
    const end = Promise.withResolvers<undefined>();
    const endInTime = time.after(MOST_JOIN_MS, () => {
      ending.abort(new Error("people give up"));
      end.resolve(undefined);
    });
    try {
      // A site that crashes in the middle of it never answers.
      const invited = await Promise.race([inviter.control!.invite(newcomer.name), end.promise]);
      if (invited === undefined) return;
      await control.join(invited.invitation, {
        signal: ending.signal,
        onWords: ({ words }) => this.#confirm(inviter, newcomer, words.join(" ")),
      });
    } catch (error) {
      if (!ending.signal.aborted) throw error;
    } finally {
      endInTime();
    }
  }

  /** As soon as the inviter's people can. */
  #confirm(inviter: SimSite, newcomer: SimSite, words: string): void {
    this.#after(MOST_WORDS_MS, () => {
      const { control } = inviter;
      const isWaiting = control?.newcomers().some(({ site }) => site === newcomer.identity.siteId);
      if (control && !isWaiting) return;
      void this.#attempt(async () => void (await control?.confirm(newcomer.identity.siteId, words)));
      this.#confirm(inviter, newcomer, words);
    });
  }

  #decide(decision: Decision): void {
    this.#decisions.add(decision);
    this.#say(decision);
  }

  #say(decision: Decision): void {
    const { honest, time, onDone, log } = this.#components;
    const { action, site, kind } = decision;
    const members = honest.filter((member) => member.control && this.#isMember(member));
    const knows = (member: SimSite): boolean =>
      this.#roleOf(member.control!, site)?.role === (action === "admit" ? "member" : "expelled");
    // Who is out is told by nobody.
    const others = members.filter((member) => member !== site);
    // What only some know may go with their disks.
    if (others.length > 0 && others.every(knows)) {
      log.note(site.name, `${kind} is done`);
      this.#decisions.delete(decision);
      if (action === "admit") this.#inviters.delete(site);
      return onDone(kind);
    }
    for (const member of members)
      if (!knows(member) && this.#roleOf(member.control!, site)?.wish !== action)
        void this.#attempt(async () => void (await member.control!.wish(action, site.identity.siteId)));
    time.after(SAY_EVERY_MS, () => this.#say(decision));
  }

  /** Those of honest people that are up and may stay. */
  #members(): SimSite[] {
    return this.#components.honest.filter((site) => !site.isLeaving && this.#isMember(site));
  }

  #isMember(site: SimSite): boolean {
    return site.control !== undefined && this.#roleOf(site.control, site)?.role === "member";
  }

  /** As far as the site that is asked knows; undefined for one that is in no federation, and for one that it does not know. */
  #roleOf(control: FederationControl, { identity }: SimSite) {
    try {
      return control.members().find(({ site }) => site === identity.siteId);
    } catch (error) {
      if (isCostorError(error, "not-in-federation")) return undefined;
      throw error;
    }
  }

  #after(mostMs: number, action: () => void): void {
    this.#components.time.after(this.#components.rng.between(0.1, 1) * mostMs, action);
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.#components.onFault(error);
    }
  }
}
