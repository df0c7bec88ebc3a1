/**
 * Retention of a site, put together: what commands, the API and the daily turn do. docs/specs/retention.md
 *
 * Decisions follow one another: each reads, decides and writes before the next begins. In doubt about the clock, the log or the disk of this
 * site nothing leaves, though people may still say what should.
 */
import type { Rng } from "#ledger/rng.ts";
import type { RetentionPolicy } from "#ledger/retention-policy.ts";
import type { HeldClock } from "#node/replication/held-clock.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import type { Site } from "#node/site/site.ts";
import { unreadSnapshots } from "#node/site/unread-snapshots.ts";
import type { SpaceReport } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId, SnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type ClockDoubtComponents, clockDoubt } from "./clock-doubt.ts";
import { AgedDays } from "./aged-days.ts";
import { Collection, type CollectionInit } from "./collection.ts";
import { Expiries } from "./expiry.ts";
import { type JudgedRecord, judgeSnapshots } from "./judging.ts";
import { type DecidedPolicy, PolicyFacts, type PolicyScope, type PolicyTimes } from "./policy-facts.ts";
import { retentionAlarms } from "./retention-alarms.ts";
import { SecondPerson, readSecondPerson } from "./second-person.ts";

export interface RetentionComponents extends Pick<ClockDoubtComponents, "doClocksAgree"> {
  readonly site: Pick<
    Site,
    | "identity"
    | "store"
    | "snapshots"
    | "regainedSnapshots"
    | "brakeAlarms"
    | "sessions"
    | "changes"
    | "agents"
    | "receivedMs"
    | "now"
  >;
  readonly heldClock: Pick<HeldClock, "state" | "isUnproven" | "prove" | "nowMs" | "keep" | "confirm">;
  readonly rng: Pick<Rng, "bytes">;
  /** An IANA name. */
  readonly timeZone: () => string;
  /** Why nothing may leave now, besides the clock: one sentence for people. `known`: the snapshots that are here, have ended or were put aside, as `agent/snapshot`. */
  readonly doubt: (known: () => Promise<ReadonlySet<string>>) => Promise<string | undefined>;
  /** What is lost here and may come back: until then nothing goes but what people remove. Without it nobody else may have it. */
  readonly damage?: (() => Promise<string | undefined>) | undefined;
  /** Takes entries of snapshots out of the ledger; without it there is none. */
  readonly withdraw?: ((keys: readonly string[]) => Promise<void>) | undefined;
  /** Tells people one sentence, at once. */
  readonly warn: (sentence: string) => void;
}

export interface RetentionState {
  readonly timeZone: string;
  /** The site's first. `comesMs`: about when a change counts. */
  readonly policies: readonly (DecidedPolicy & { readonly comesMs?: number })[];
  /** Who has to approve what keeps less. `endsMs`: about when there is none any more, because the code is said to be lost. */
  readonly secondPerson?: { readonly sinceMs: number; readonly endsMs?: number };
  /** Why nothing leaves now. */
  readonly paused?: string;
  readonly alarms: readonly string[];
  readonly last?: CollectedReport;
}

export interface KeptSnapshot extends JudgedRecord {
  readonly agentName: string;
  /** About when it goes, of one that has left the list. */
  readonly goesMs?: number;
}

export interface RetentionPreview {
  readonly snapshots: readonly JudgedRecord[];
  readonly bytes: number;
}

export interface CollectedReport extends SpaceReport {
  readonly endedMs: number;
  readonly removedPrimesCount: number;
  readonly removedBytes: number;
}

export interface MarkChange {
  readonly isPinned?: boolean | undefined;
  /** All that it has from then on. */
  readonly tags?: readonly string[] | undefined;
  readonly heldUntilMs?: number | null | undefined;
}

interface Kept {
  readonly policies: PolicyFacts;
  readonly days: AgedDays;
  readonly person: Awaited<ReturnType<typeof readSecondPerson>>;
}

export class Retention {
  readonly secondPerson: SecondPerson;
  readonly #components: RetentionComponents;
  readonly #policies: PolicyFacts;
  readonly #days: AgedDays;
  readonly #expiries: Expiries;
  readonly #collection: Collection;
  readonly #queue = new SerialQueue();
  #last: CollectedReport | undefined;

  private constructor(components: RetentionComponents, { policies, days, person }: Kept) {
    const { site, rng } = components;
    this.#components = components;
    this.#policies = policies;
    this.#days = days;
    this.#expiries = new Expiries(site);
    this.#collection = new Collection({ ...site, rng, paused: () => this.#doubt() }, { siteId: site.identity.siteId });
    const times = (): PolicyTimes => this.#times();
    const deciding = <Done>(decide: () => Promise<Done>): Promise<Done> => this.#deciding(decide);
    this.secondPerson = new SecondPerson({ ...components, store: site.store, policies, times, deciding }, person);
  }

  static async open(components: RetentionComponents): Promise<Retention> {
    const { store } = components.site;
    return new Retention(components, {
      policies: await PolicyFacts.open(store),
      days: await AgedDays.open(store),
      person: await readSecondPerson(store),
    });
  }

  async state(): Promise<RetentionState> {
    const { timeZone, site } = this.#components;
    const paused = (await this.#doubt()) ?? (await this.#components.damage?.());
    const judged = await this.#judge();
    const unreadCount = (await unreadSnapshots(site.store)).length;
    const stats = await site.store.stats();
    const { approver, state: person, wrongCount: wrongCodesCount } = this.secondPerson;
    const endsMs = person?.endHeldMs === undefined ? undefined : this.#wallMs(person.endHeldMs);
    const alarms = retentionAlarms({ judged, unreadCount, stats, nowMs: site.now(), wrongCodesCount, endsMs });
    return {
      timeZone: timeZone(),
      policies: this.#policies.list(approver).map((decided) => ({
        ...decided,
        ...(decided.next && { comesMs: this.#wallMs(decided.next.dueHeldMs) }),
      })),
      ...(person && { secondPerson: { sinceMs: person.sinceMs, ...(endsMs !== undefined && { endsMs }) } }),
      ...(paused === undefined ? {} : { paused }),
      alarms,
      ...(this.#last && { last: this.#last }),
    };
  }

  /** In order of agents, then of the times at which they were received. */
  async snapshots(agent?: AgentId): Promise<KeptSnapshot[]> {
    const names = new Map(this.#components.site.agents.list().map(({ id, name }) => [id, name]));
    const judged = await this.#judge();
    return judged
      .filter((record) => agent === undefined || record.agent === agent)
      .map((record) => ({
        ...record,
        agentName: names.get(record.agent) ?? "",
        ...(record.expiry && { goesMs: this.#wallMs(record.expiry.dueHeldMs) }),
      }));
  }

  /** What would leave, with the space that it takes, if `policy` were decided for `scope` and counted now. */
  async preview(
    scope: PolicyScope,
    policy: RetentionPolicy | null,
    init: Pick<CollectionInit, "signal" | "onProgress"> = {},
  ): Promise<RetentionPreview> {
    const now = await this.#judge();
    const then = await this.#judge((agent, job) => [this.#policies.once(scope, policy, agent, job)]);
    const isGoing = (record: JudgedRecord): boolean => record.reasons.length === 0 && record.expiry === undefined;
    const goingNow = new Set(now.filter(isGoing).map(keyOf));
    const snapshots = then.filter((record) => isGoing(record) && !goingNow.has(keyOf(record)));
    if (snapshots.length === 0) return { snapshots, bytes: 0 };
    const before = await this.#collection.run({ ...init, isDry: true });
    const without = new Set(snapshots.map(keyOf));
    const after = await this.#collection.run({ ...init, isDry: true, without });
    return { snapshots, bytes: Math.max(0, after.removedBytes - before.removedBytes) };
  }

  /** Counts at once if it surely keeps as much as before, else when the grace is over, and it is approved. Throws `bad-usage`, `not-found`. */
  decide(scope: PolicyScope, policy: RetentionPolicy | null): Promise<void> {
    return this.#deciding(() => {
      if (scope.agent !== undefined && !this.#components.site.agents.list().some(({ id }) => id === scope.agent))
        throw new CostorError("not-found", `no agent ${scope.agent} is enrolled here`);
      return this.#policies.decide(scope, policy, this.#times());
    });
  }

  /** Throws `not-found` when no change waits. */
  undo(scope: PolicyScope): Promise<void> {
    return this.#deciding(() => this.#policies.undo(scope));
  }

  /** Takes it back, too, if it has left the list. Throws `snapshot-unknown`; for less than before what {@link SecondPerson.allow} does. */
  mark(ids: readonly SnapshotId[], change: MarkChange, code?: string): Promise<void> {
    return this.#queue.run(async () => {
      const { isPinned, tags, heldUntilMs } = change;
      if (tags !== undefined && tags.length > limits.snapshotTagsCount)
        throw new CostorError("limit-exceeded", `more than ${limits.snapshotTagsCount} tags`);
      const keeps = isPinned === true || (tags !== undefined && tags.length > 0) || typeof heldUntilMs === "number";
      const records = await this.#find(ids);
      if (records.some((record) => marksLess(record, change, this.#components.site.now())))
        await this.secondPerson.allow(code);
      await this.#expiries.change(records, {
        ...(isPinned === undefined ? {} : { isPinned }),
        ...(tags === undefined ? {} : { tags }),
        ...(heldUntilMs === undefined ? {} : { heldUntilMs }),
        ...(keeps && { expiry: null }),
      });
    });
  }

  /** They leave the list at once, and go when the grace is over. Throws `snapshot-unknown`, and `bad-usage` for those that are pinned, tagged or held, and what {@link SecondPerson.allow} does. */
  remove(ids: readonly SnapshotId[], code?: string): Promise<void> {
    return this.#queue.run(async () => {
      const records = await this.#find(ids);
      const marks = ["pinned", "tagged", "held"];
      const marked = records.find(({ reasons }) => reasons.some(({ rule }) => marks.includes(rule)));
      if (marked)
        throw new CostorError("bad-usage", `snapshot ${marked.id} is pinned, tagged or held; take that away first`);
      await this.secondPerson.allow(code);
      await this.#expiries.remove(records, this.#times());
    });
  }

  /** Takes back what a person has removed and the grace has left. */
  keepRemoved(ids: readonly SnapshotId[]): Promise<void> {
    return this.#queue.run(async () => this.#expiries.change(await this.#find(ids), { expiry: null }));
  }

  /** A person says that the machine's clock is right as it is: what its jump had stopped goes on. */
  confirmClock(): Promise<void> {
    return this.#components.heldClock.confirm();
  }

  /** To be called every hour or so; once a day it does what is due. In doubt it takes nothing, and is due until it was done. */
  turn(signal?: AbortSignal): Promise<void> {
    return this.#queue.run(async () => {
      const { site, heldClock, withdraw } = this.#components;
      // Of a site in no federation nobody else makes it last.
      await heldClock.keep();
      const heldMs = heldClock.nowMs();
      await this.#days.note(heldMs, site.receivedMs());
      if (!this.#days.isDue(heldMs) || (await this.#doubt()) !== undefined) return;
      await this.secondPerson.look(heldMs);
      await this.#policies.mature(heldMs, this.secondPerson.approver);
      site.changes.tell(STATE_CHANGED);
      const isDamaged = (await this.#components.damage?.()) !== undefined;
      if (!isDamaged) await this.#expiries.look(await this.#judge(), this.#times());
      const judged = await this.#judge();
      await this.#expiries.end(
        judged.filter(({ expiry }) => !isDamaged || expiry?.cause === "person"),
        heldMs,
      );
      await this.#collect({ signal });
      if (withdraw) await this.#expiries.withdraw(heldMs, withdraw);
      await this.#days.done(heldMs);
    });
  }

  /** What is dead now. Throws `deletion-paused` in doubt, unless nothing is to be taken. */
  collect(init: CollectionInit): Promise<CollectedReport> {
    return this.#queue.run(async () => {
      const paused = init.isDry === true ? undefined : await this.#doubt();
      if (paused !== undefined) throw new CostorError("deletion-paused", paused);
      return this.#collect(init);
    });
  }

  #deciding<Done>(decide: () => Promise<Done>): Promise<Done> {
    return this.#queue.run(async () => {
      const done = await decide();
      this.#components.site.changes.tell(STATE_CHANGED);
      return done;
    });
  }

  async #collect(init: CollectionInit): Promise<CollectedReport> {
    const { site } = this.#components;
    const collected = await this.#collection.run(init);
    const space: SpaceReport =
      init.isDry === true
        ? { removedSegmentsCount: 0, movedBytes: 0, freedBytes: 0 }
        : await site.store.compact(init.signal ?? undefined);
    const report = { ...collected, ...space, endedMs: site.now() };
    if (init.isDry === true) return report;
    this.#last = report;
    if (report.removedPrimesCount > 0) site.changes.tell({ kind: "collected" });
    return report;
  }

  async #doubt(): Promise<string | undefined> {
    const clockWrong = await clockDoubt(this.#components);
    if (clockWrong !== undefined) return clockWrong;
    if (this.#components.site.regainedSnapshots.isAny) return "what came back from other sites is not all here yet";
    return this.#components.doubt(() => this.#expiries.known());
  }

  #judge(
    decided = (agent: AgentId, job: string): readonly RetentionPolicy[] => this.#policies.of(agent, job),
  ): Promise<JudgedRecord[]> {
    const { site, heldClock, timeZone } = this.#components;
    // Of a machine that may be in a thief's hands everything is kept until a person has looked into it.
    const alarmed = new Set(site.brakeAlarms.standing().map(({ agent }) => agent));
    const policiesOf = (agent: AgentId, job: string): readonly RetentionPolicy[] =>
      alarmed.has(agent) ? [...decided(agent, job), {}] : decided(agent, job);
    const youngAfterMs = this.#days.youngAfterMs(heldClock.nowMs());
    return judgeSnapshots({ snapshots: site.snapshots, timeZone }, { policiesOf, nowMs: site.now(), youngAfterMs });
  }

  async #find(ids: readonly SnapshotId[]): Promise<JudgedRecord[]> {
    const judged = new Map((await this.#judge()).map((record) => [record.id, record]));
    return [...new Set(ids)].map((id) => {
      const record = judged.get(id);
      if (record) return record;
      throw new CostorError("snapshot-unknown", `no snapshot ${id} is known here`);
    });
  }

  #times(): PolicyTimes {
    return { nowMs: this.#components.site.now(), heldMs: this.#components.heldClock.nowMs() };
  }

  /** About when it will be by the machine's clock, if the site runs on. */
  #wallMs(heldMs: number): number {
    const { nowMs, heldMs: nowHeldMs } = this.#times();
    return nowMs + Math.max(0, heldMs - nowHeldMs);
  }
}

/** Whoever tells of one part of the state looks at all. */
const STATE_CHANGED = { kind: "state", key: "retention/policies" } as const;

const keyOf = ({ agent, id }: JudgedRecord): string => `${agent}/${id}`;

function marksLess(former: JudgedRecord, { isPinned, tags, heldUntilMs }: MarkChange, nowMs: number): boolean {
  if (isPinned === false && former.isPinned) return true;
  if (tags?.length === 0 && former.tags.length > 0) return true;
  const heldBeforeMs = former.heldUntilMs ?? nowMs;
  return heldUntilMs !== undefined && heldBeforeMs > nowMs && (heldUntilMs ?? 0) < heldBeforeMs;
}
