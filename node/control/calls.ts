/**
 * What a person can tell a site to do on its own machine: over the control socket while the site runs, directly on its data
 * directory while it does not. Arguments are checked here, whichever way they came.
 */
import * as v from "valibot";
import { DrillRecord, type DrillResult } from "#node/drills/drill-record.ts";
import { type DrillStanding, drillStandings } from "#node/drills/drill-standing.ts";
import { siteDrillKinds } from "#node/drills/due-drill.ts";
import type { Drills } from "#node/drills/drills.ts";
import type { FederationControl } from "#node/federation/federation-control.ts";
import { lostCountOf } from "#node/replication/healing.ts";
import type { BrakeAlarm } from "#node/site/brake-alarms.ts";
import type { Retention } from "#node/retention/retention.ts";
import type { Site } from "#node/site/site.ts";
import type { AgentRecord } from "#node/site/agent-registry.ts";
import { chooseAgent } from "./agent-choice.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { fingerprintOf } from "#protocol/keys.ts";
import { type FederationResults, federationHandlers, federationSchemas } from "./federation-calls.ts";
import { personalName } from "./personal-name.ts";
import { type RetentionResults, retentionHandlers, retentionSchemas } from "./retention-calls.ts";
import { type RestoreResults, grantSchema, readGrant, restoreHandlers, restoreSchemas } from "./restore-calls.ts";
import { type ScrubResults, scrubHandlers, scrubSchemas } from "./scrub-calls.ts";
import { runningPart } from "./running-part.ts";
import { snapshotText } from "./snapshot-text.ts";

export interface CallContext {
  readonly site: Site;
  /** Undefined while the site does not run. */
  readonly federation: FederationControl | undefined;
  /** Undefined while the site does not run. */
  readonly drills: Drills | undefined;
  /** Opened when a call needs it. */
  readonly retention: () => Promise<Retention>;
  readonly signal: AbortSignal;
  /** Tells how far a long call is; may be called often. */
  onProgress(progress: unknown): void;
}

const argumentSchemas = {
  enrolToken: v.strictObject({
    name: v.optional(personalName),
    addresses: v.optional(v.array(v.string())),
    /** An agent's id or name: the machine will be that one. */
    replaces: v.optional(v.string()),
  }),
  agents: v.strictObject({}),
  revoke: v.strictObject({ agent: v.string() }),
  kit: v.strictObject({}),
  confirmKit: v.strictObject({
    words: v.record(v.pipe(v.string(), v.regex(/^([1-9]|1\d|2[0-4])$/)), v.pipe(v.string(), v.maxLength(40))),
  }),
  alarms: v.strictObject({}),
  settleAlarm: v.strictObject({
    snapshot: snapshotText,
    note: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(500)),
  }),
  drills: v.strictObject({}),
  runDrill: v.pipe(
    v.strictObject({ kind: v.picklist(siteDrillKinds), isWhole: v.boolean() }),
    v.check(({ kind, isWhole }) => kind !== "across" || !isWhole, "other sites gather no whole snapshot"),
  ),
  runKitDrill: grantSchema,
  stats: v.strictObject({}),
  check: v.strictObject({ readData: v.boolean() }),
  rebuildIndex: v.strictObject({}),
  ...scrubSchemas,
  ...federationSchemas,
  ...retentionSchemas,
  ...restoreSchemas,
} as const;

export type CallName = keyof typeof argumentSchemas;
export type CallArguments<Name extends CallName> = v.InferInput<(typeof argumentSchemas)[Name]>;

export interface KitState {
  readonly siteName: string;
  readonly siteId: string;
  /** Of the recovery key. */
  readonly fingerprint: string;
  /** The numbers of the words that confirm the kit. */
  readonly positions: readonly number[];
  readonly confirmedMs?: number;
}

export interface CallResults extends FederationResults, RestoreResults, RetentionResults, ScrubResults {
  enrolToken: { token: string; name: string; expiresMs: number; addresses: readonly string[] };
  agents: { agents: AgentRecord[] };
  revoke: { revoked: string };
  kit: KitState;
  confirmKit: KitState;
  alarms: { alarms: readonly NamedAlarm[] };
  settleAlarm: BrakeAlarm;
  drills: { drills: readonly DrillResult[] };
  /** Tells {@link DrillProgress}. */
  runDrill: DrillResult;
  /** Tells {@link DrillProgress}. */
  runKitDrill: DrillResult;
  stats: SiteStats;
  check: Awaited<ReturnType<Site["store"]["check"]>>;
  rebuildIndex: { rebuilt: true };
}

export interface NamedAlarm extends BrakeAlarm {
  readonly agentName: string;
}

export interface SiteStats {
  readonly siteName: string;
  readonly siteId: string;
  readonly storeGeneration: string;
  readonly agentsCount: number;
  readonly openSessionsCount: number;
  readonly kitConfirmed: boolean;
  /** Alarms of the ransomware brake that nobody has settled. */
  readonly standingAlarmsCount: number;
  readonly store: Awaited<ReturnType<Site["store"]["stats"]>>;
  /** Primes of the site's own snapshots that are not here. */
  readonly lostPrimesCount: number;
  readonly scrub: ScrubResults["scrub"];
  /** The newest restore drill of each kind that has passed. */
  readonly drills: readonly DrillStanding[];
}

const drillsOf = async (site: Site, drills: Drills | undefined): Promise<readonly DrillResult[]> =>
  (drills ?? (await DrillRecord.open(site.store))).list();

const kitStateOf = async ({ identity, kitCheck }: Site): Promise<KitState> => {
  const { positions, confirmedMs } = await kitCheck();
  return {
    siteName: identity.siteName,
    siteId: identity.siteId,
    fingerprint: fingerprintOf(identity.recoveryPublicKey),
    positions,
    ...(confirmedMs === undefined ? {} : { confirmedMs }),
  };
};

type Handlers = {
  [Name in CallName]: (
    args: v.InferOutput<(typeof argumentSchemas)[Name]>,
    context: CallContext,
  ) => Promise<CallResults[Name]>;
};

/** As far as is known: no, while the file that would tell is damaged. */
async function isKitConfirmed({ kitCheck }: Site): Promise<boolean> {
  try {
    return (await kitCheck()).confirmedMs !== undefined;
  } catch (error) {
    if (isCostorError(error, "identity-damaged")) return false;
    throw error;
  }
}

const handlers: Handlers = {
  enrolToken: async (args, { site }) => {
    const addresses = args.addresses?.length ? args.addresses : await site.addresses();
    if (addresses.length === 0)
      throw new CostorError("bad-usage", "no address is known yet: start the site once, or give --address");
    const replaced = args.replaces === undefined ? undefined : chooseAgent(site.agents.list(), args.replaces);
    const name = args.name ?? replaced?.name;
    if (name === undefined) throw new CostorError("bad-usage", "give the machine a name");
    return { name, addresses, ...(await site.enrolments.issue(name, addresses, replaced?.id)) };
  },
  agents: async (_, { site }) => ({ agents: site.agents.list() }),
  revoke: async ({ agent }, { site }) => {
    const { id } = chooseAgent(site.agents.list(), agent);
    await site.agents.revoke(id, site.now());
    return { revoked: id };
  },
  kit: (_, { site }) => kitStateOf(site),
  confirmKit: async ({ words }, { site }) => {
    await site.confirmKit(new Map(Object.entries(words).map(([position, word]) => [Number(position), word])));
    return kitStateOf(site);
  },
  alarms: async (_, { site }) => {
    const names = new Map(site.agents.list().map(({ id, name }) => [id, name]));
    return { alarms: site.brakeAlarms.list().map((alarm) => ({ ...alarm, agentName: names.get(alarm.agent) ?? "" })) };
  },
  settleAlarm: ({ snapshot, note }, { site }) => site.brakeAlarms.settle(snapshot, note),
  drills: async (_, { site, drills }) => ({ drills: await drillsOf(site, drills) }),
  runDrill: async (drill, { drills, signal, onProgress }) => runningPart(drills).run(drill, { signal, onProgress }),
  runKitDrill: async (grant, { drills, signal, onProgress }) =>
    runningPart(drills).runWithKit(readGrant(grant), { signal, onProgress }),
  stats: async (_, { site, drills }) => ({
    siteName: site.identity.siteName,
    siteId: site.identity.siteId,
    storeGeneration: site.store.generation,
    agentsCount: site.agents.activeCount,
    openSessionsCount: site.sessions.openCount,
    standingAlarmsCount: site.brakeAlarms.standing().length,
    kitConfirmed: await isKitConfirmed(site),
    store: await site.store.stats(),
    lostPrimesCount: await lostCountOf(site.store, site.identity.siteId),
    scrub: await site.scrubber.status(),
    drills: drillStandings(await drillsOf(site, drills), ["local"], site.now()),
  }),
  check: ({ readData }, { site, signal, onProgress }) => site.store.check({ readData, signal, onProgress }),
  rebuildIndex: async (_, { site }) => {
    await site.store.rebuildIndex();
    return { rebuilt: true };
  },
  ...scrubHandlers,
  ...federationHandlers,
  ...retentionHandlers,
  ...restoreHandlers,
};

export const isCallName = (text: unknown): text is CallName =>
  typeof text === "string" && Object.hasOwn(handlers, text);

/** Does `call`. Throws `bad-usage` for wrong arguments, else what the call throws. */
export async function callSite<Name extends CallName>(
  call: Name,
  args: unknown,
  context: CallContext,
): Promise<CallResults[Name]> {
  const parsed = v.safeParse(argumentSchemas[call], args);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new CostorError("bad-usage", `${v.getDotPath(issue) ?? call}: ${issue.message}`);
  }
  return handlers[call](parsed.output as never, context);
}
