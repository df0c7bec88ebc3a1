/**
 * Invitations of this site: good once, for a limited time, here only. Only the SHA-256 of the secret is kept. The first
 * site that shows the secret binds the invitation to itself; people then confirm it by eight words, or refuse it.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import type { Clock } from "#ledger/clock.ts";
import type { Rng } from "#ledger/rng.ts";
import { RecentCount } from "#node/site/recent-count.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type SiteId, parseSiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";

const KIND = "invitation";
const SECRET_BYTES = 16;
const time = v.pipe(v.number(), v.safeInteger());
const newcomerSchema = v.strictObject({
  site: v.pipe(
    v.string(),
    v.transform((text): SiteId => parseSiteId(text)),
  ),
  /** What it calls itself. */
  name: v.string(),
  certificate: v.custom<Uint8Array>((value) => value instanceof Uint8Array),
});
const schema = v.strictObject({
  /** What people here call the site that is invited. */
  name: v.string(),
  madeMs: time,
  expiresMs: time,
  newcomer: v.optional(newcomerSchema),
  state: v.picklist(["open", "bound", "accepted", "refused"]),
});

export type Newcomer = v.InferOutput<typeof newcomerSchema>;
export type Invited = v.InferOutput<typeof schema>;

export interface InvitationComponents {
  readonly store: Pick<PrimeStore, "appendFacts" | "facts">;
  readonly clock: Clock;
  readonly rng: Rng;
}

const secretHashOf = (secret: Uint8Array): string => createHash("sha256").update(secret).digest("hex");
const factOf = (key: string, invited: Invited | undefined): SiteFact => ({
  kind: KIND,
  key,
  value: invited === undefined ? undefined : encodeCbor(invited),
});

export class Invitations {
  readonly #components: InvitationComponents;
  readonly #byKey = new Map<string, Invited>();
  readonly #queue = new SerialQueue();
  /** When somebody was refused last, on the clock that never jumps: whoever was asks once more, and hears of it. */
  #refusedMs = Number.NEGATIVE_INFINITY;
  readonly #guesses: RecentCount;

  private constructor(components: InvitationComponents) {
    this.#components = components;
    this.#guesses = new RecentCount(components, { mostCount: limits.strangersPerMinuteCount, withinMs: 60_000 });
  }

  static async open(components: InvitationComponents): Promise<Invitations> {
    const invitations = new Invitations(components);
    for await (const { key, value } of components.store.facts(KIND))
      invitations.#byKey.set(key, readFactValue(value, schema, KIND));
    return invitations;
  }

  /** Those that wait for a newcomer or for people, by what they were made for. */
  list(): Invited[] {
    return [...this.#byKey.values()].filter((invited) => this.#isLive(invited));
  }

  /** Whether strangers may knock. */
  get isAnyOpen(): boolean {
    if (this.#components.clock.elapsedMs() - this.#refusedMs < limits.invitationRefusedMs) return true;
    return this.list().some(({ state }) => state === "open" || state === "bound");
  }

  /** Throws `bad-usage`, `too-many-requests`. */
  async issue(name: string, lifeMs: number = limits.invitationLifeMs): Promise<{ secret: Buffer; expiresMs: number }> {
    if (!(lifeMs > 0 && lifeMs <= limits.invitationLongestLifeMs))
      throw new CostorError("bad-usage", "an invitation is good for at most thirty days");
    return this.#queue.run(async () => {
      await this.#forgetEnded();
      if (this.list().length >= limits.invitationsCount)
        throw new CostorError("too-many-requests", `${limits.invitationsCount} invitations are open already`);
      const secret = this.#components.rng.bytes(SECRET_BYTES);
      const madeMs = this.#components.clock.now();
      await this.#keep(secretHashOf(secret), { name, madeMs, expiresMs: madeMs + lifeMs, state: "open" });
      return { secret, expiresMs: madeMs + lifeMs };
    });
  }

  /** Whether a joiner with this secret is listened to: guesses are bounded, and keep nobody out who has the secret of an invitation. */
  listens(secret: Uint8Array): boolean {
    return !this.#guesses.isFull || this.#byKey.has(secretHashOf(secret));
  }

  /**
   * A site shows a secret: the invitation is this newcomer's from now on. Throws `invitation-invalid`, alike for a secret that is
   * unknown, expired, or another site's.
   */
  show(secret: Uint8Array, newcomer: Newcomer): Promise<Invited> {
    return this.#queue.run(async () => {
      const key = secretHashOf(secret);
      const invited = this.#byKey.get(key);
      if (invited === undefined || !this.#isLive(invited) || (invited.newcomer ?? newcomer).site !== newcomer.site) {
        this.#guesses.add();
        throw new CostorError("invitation-invalid", "this invitation is unknown, used or expired");
      }
      if (invited.newcomer !== undefined) return invited;
      const bound: Invited = { ...invited, newcomer, state: "bound" };
      await this.#keep(key, bound);
      return bound;
    });
  }

  /** Newcomers that people have yet to confirm. */
  waiting(): Newcomer[] {
    return this.list().flatMap(({ state, newcomer }) => (state === "bound" && newcomer ? [newcomer] : []));
  }

  /** People have compared the words. Durable when it returns. Throws `member-unknown`. */
  settle(site: SiteId, state: "accepted" | "refused"): Promise<Newcomer> {
    return this.#queue.run(async () => {
      for (const [key, invited] of this.#byKey) {
        if (invited.newcomer?.site !== site || invited.state !== "bound") continue;
        await this.#keep(key, { ...invited, state });
        if (state === "refused") this.#refusedMs = this.#components.clock.elapsedMs();
        return invited.newcomer;
      }
      throw new CostorError("member-unknown", `no newcomer ${site} waits to be confirmed`);
    });
  }

  /** A clock that was set back brings no invitation back to life. */
  #isLive({ madeMs, expiresMs }: Invited): boolean {
    const nowMs = this.#components.clock.now();
    return nowMs < expiresMs && nowMs >= madeMs - limits.invitationLongestLifeMs;
  }

  async #keep(key: string, invited: Invited): Promise<void> {
    await this.#components.store.appendFacts([factOf(key, invited)]);
    this.#byKey.set(key, invited);
  }

  async #forgetEnded(): Promise<void> {
    const ended = [...this.#byKey].filter(([, invited]) => !this.#isLive(invited)).map(([key]) => key);
    await this.#components.store.appendFacts(ended.map((key) => factOf(key, undefined)));
    for (const key of ended) this.#byKey.delete(key);
  }
}
