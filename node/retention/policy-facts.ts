/**
 * What people have decided about retention: a policy for the site, for an agent, and for a job of an agent; the narrowest counts. One that would
 * keep less than the one before it counts only when the grace is over, and the second person has approved it if there is one; until then it can be
 * taken back. docs/specs/retention.md
 */
import * as v from "valibot";
import { type RetentionPolicy, keepsAtLeast, retentionPolicySchema } from "#ledger/retention-policy.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";

const FACT = { kind: "retention", key: "policies" } as const;
/** Between a decision to keep less and its effect, by the clock that never goes back. */
export const GRACE_MS = 7 * 24 * 3_600_000;

/** A month of everything, then a quarter of weeks, two years of months, and ten years of school years. */
const initialPolicy: RetentionPolicy = { daily: 30, weekly: 13, monthly: 24, yearly: 10 };

const time = v.pipe(v.number(), v.safeInteger());
/** Null: as for what is wider. */
const decided = v.nullable(retentionPolicySchema);
const placeSchema = v.strictObject({
  policy: decided,
  next: v.optional(
    v.strictObject({
      policy: decided,
      sinceMs: time,
      dueHeldMs: time,
      /** By the salt of the second person who has. */
      approvedBy: v.optional(v.custom<Uint8Array>((value) => value instanceof Uint8Array)),
    }),
  ),
});
/** By what they are for: "" for the site, the agent, or the agent, `/` and its job. */
const schema = v.strictObject({ policies: v.record(v.string(), placeSchema) });
type Stored = v.InferOutput<typeof placeSchema>;
/** The salt of the second person of now, if there is one. */
type Approver = Uint8Array | undefined;

/** Of the site without both, of an agent, or of a job of an agent. */
export interface PolicyScope {
  readonly agent?: AgentId | undefined;
  readonly job?: string | undefined;
}

export interface DecidedPolicy extends PolicyScope {
  readonly policy: RetentionPolicy | null;
  /** What comes after the grace. */
  readonly next?: {
    readonly policy: RetentionPolicy | null;
    readonly sinceMs: number;
    readonly dueHeldMs: number;
    /** It does not count before the second person has approved it. */
    readonly needsApproval: boolean;
  };
}

const SITE = "";
const keyOf = ({ agent, job }: PolicyScope): string => `${agent ?? ""}${job === undefined ? "" : `/${job}`}`;

function scopeOf(key: string): PolicyScope {
  const slash = key.indexOf("/");
  if (slash >= 0) return { agent: key.slice(0, slash) as AgentId, job: key.slice(slash + 1) };
  return key === SITE ? {} : { agent: key as AgentId };
}

/** From a scope to the site. */
const chainOf = ({ agent, job }: PolicyScope): string[] => [
  ...new Set([keyOf({ agent, job }), keyOf({ agent }), SITE]),
];

const comingOf = ({ policy, next }: Stored): RetentionPolicy | null => (next === undefined ? policy : next.policy);

const needsApproval = ({ approvedBy }: NonNullable<Stored["next"]>, approver: Approver): boolean =>
  approver !== undefined && (approvedBy === undefined || !Buffer.from(approvedBy).equals(approver));

/** The site's always is one. */
const narrowest = (chain: readonly (RetentionPolicy | null)[]): RetentionPolicy => chain.find((one) => one !== null)!;

export interface PolicyTimes {
  readonly nowMs: number;
  readonly heldMs: number;
}

export class PolicyFacts {
  readonly #store: Pick<PrimeStore, "appendFacts">;
  #stored: ReadonlyMap<string, Stored>;

  private constructor(store: Pick<PrimeStore, "appendFacts">, stored: ReadonlyMap<string, Stored>) {
    this.#store = store;
    this.#stored = stored;
  }

  static async open(store: Pick<PrimeStore, "appendFacts" | "fact">): Promise<PolicyFacts> {
    const value = await store.fact(FACT.kind, FACT.key);
    const policies = value === undefined ? {} : readFactValue(value, schema, "retention").policies;
    return new PolicyFacts(store, new Map(Object.entries(policies)));
  }

  /** The site's first. */
  list(approver: Approver): DecidedPolicy[] {
    const others = [...this.#stored].filter(([key]) => key !== SITE);
    return [[SITE, this.#at(SITE)] as const, ...others].map(([key, { policy, next }]) => ({
      ...{ ...scopeOf(key), policy },
      ...(next && {
        next: {
          ...{ policy: next.policy, sinceMs: next.sinceMs, dueHeldMs: next.dueHeldMs },
          needsApproval: needsApproval(next, approver),
        },
      }),
    }));
  }

  /** Those that keep now: the one that counts, and until the grace is over the one that comes. */
  of(agent: AgentId, job: string): RetentionPolicy[] {
    const chain = chainOf({ agent, job }).map((key) => this.#at(key));
    const current = narrowest(chain.map(({ policy }) => policy));
    const coming = narrowest(chain.map(comingOf));
    return coming === current ? [current] : [current, coming];
  }

  /** What will count for an agent's job, once `policy` is decided for `scope` and all graces are over. */
  once(scope: PolicyScope, policy: RetentionPolicy | null, agent: AgentId, job: string): RetentionPolicy {
    const decidedKey = keyOf(scope);
    return narrowest(chainOf({ agent, job }).map((key) => (key === decidedKey ? policy : comingOf(this.#at(key)))));
  }

  #at(key: string): Stored {
    return this.#stored.get(key) ?? { policy: key === SITE ? initialPolicy : null };
  }

  /** Durable when it resolves. One that surely keeps as much as before counts at once. Throws `bad-usage`. */
  async decide(scope: PolicyScope, policy: RetentionPolicy | null, { nowMs, heldMs }: PolicyTimes): Promise<void> {
    const [key, ...wider] = chainOf(scope) as [string, ...string[]];
    if (key === SITE && policy === null) throw new CostorError("bad-usage", "the site itself has to have a policy");
    const before = [key, ...wider].map((one) => this.#at(one).policy);
    const counting = narrowest(before);
    const after = narrowest([policy, ...before.slice(1)]);
    if (keepsAtLeast(after, counting)) await this.#keep(key, { policy });
    else {
      const next = { policy, sinceMs: nowMs, dueHeldMs: heldMs + GRACE_MS };
      await this.#keep(key, { policy: this.#at(key).policy, next });
    }
  }

  /** Takes back what does not count yet. Throws `not-found` when nothing waits. */
  async undo(scope: PolicyScope): Promise<void> {
    const key = keyOf(scope);
    const stored = this.#stored.get(key);
    if (stored?.next === undefined) throw new CostorError("not-found", "no change of this policy waits");
    await this.#keep(key, { policy: stored.policy });
  }

  /** Of what was decided at `sinceMs` and waits. Throws `not-found` when that is no more, or another decision has come in its place. */
  async approve(scope: PolicyScope, sinceMs: number, approver: Uint8Array): Promise<void> {
    const key = keyOf(scope);
    const stored = this.#stored.get(key);
    if (stored?.next?.sinceMs !== sinceMs)
      throw new CostorError("not-found", "this change waits no more: costor site retention show tells what does");
    await this.#keep(key, { policy: stored.policy, next: { ...stored.next, approvedBy: approver } });
  }

  /** Takes back all that waits and was not approved. */
  async undoUnapproved(approver: Approver): Promise<void> {
    for (const [key, { policy, next }] of this.#stored)
      if (next !== undefined && needsApproval(next, approver)) await this.#keep(key, { policy });
  }

  /** Lets count what has waited for the grace, and needs no approval or has it. */
  async mature(heldMs: number, approver: Approver): Promise<void> {
    const due = [...this.#stored].filter(
      ([, { next }]) => next !== undefined && next.dueHeldMs <= heldMs && !needsApproval(next, approver),
    );
    for (const [key, { next }] of due) await this.#keep(key, { policy: next!.policy });
    // By the clock of a machine that is no more: its grace begins anew.
    for (const [key, { policy, next }] of this.#stored)
      if (next !== undefined && next.dueHeldMs > heldMs + GRACE_MS)
        await this.#keep(key, { policy, next: { ...next, dueHeldMs: heldMs + GRACE_MS } });
  }

  async #keep(key: string, stored: Stored): Promise<void> {
    const next = new Map(this.#stored).set(key, stored);
    if (key !== SITE && stored.policy === null && stored.next === undefined) next.delete(key);
    if (next.size > limits.retentionPoliciesCount)
      throw new CostorError("limit-exceeded", `more than ${limits.retentionPoliciesCount} policies`);
    await this.#store.appendFacts([{ ...FACT, value: encodeCbor({ policies: Object.fromEntries(next) }) }]);
    this.#stored = next;
  }
}
